"""Pure builders: from recorded revisions and a plan to every manifest of a pipeline, one file per component. `children.py` is the entry."""
