"""The manners of a guest and the contract with the SDK: rules R3 and R9."""
