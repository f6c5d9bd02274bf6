"""Our kinds: pydantic models, from which the CustomResourceDefinitions are generated."""
