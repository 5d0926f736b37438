"""From files to weights: architectures, sources, the weight names of other projects, completeness, and adapters."""
