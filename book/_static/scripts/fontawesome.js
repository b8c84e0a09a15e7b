// In place of the theme's 1.5 MB of icons as scripts: the pages draw theirs with the icon font that the theme brings as well.
