"""The dashboard and the report: their parts, their answers, and what a browser makes of them."""
