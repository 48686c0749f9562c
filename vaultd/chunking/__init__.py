"""Where contents are cut: big files by content (`gear`), small files into bundles (`bundle`)."""
