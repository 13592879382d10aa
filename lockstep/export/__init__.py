"""The model card and the receipt of an exported model."""
