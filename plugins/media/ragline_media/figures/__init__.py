"""Pictures that stand in documents."""
