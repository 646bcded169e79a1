"""The only room that touches the product's folders: inbox, work, outbox, rejected."""
