"""Moved for one release: this recipe is in the plug-in `ragline-recipes`."""

raise ImportError("generators.typed is ragline_recipes.typed now: pip install ./plugins/recipes from a checkout")
