"""One file per box of the ladder; roles drive machines and know no engine."""
