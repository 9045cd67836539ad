"""What agents ask of a store, as tools of the Model Context Protocol.

`arguments` and `answers` say what a tool takes and gives, `work` what it does, `tools` when an
agent should call it; `serving` puts them on stdio or HTTP.
"""
