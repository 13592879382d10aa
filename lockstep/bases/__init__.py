"""The bases one can name in model.base: the catalogue of them, and how each gets into its folder."""
