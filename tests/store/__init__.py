"""Questions to a store: filters, pages, snapshots, and the same from an event loop."""
