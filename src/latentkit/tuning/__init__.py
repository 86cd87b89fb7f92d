"""The definition of a study: its search space, its objectives and its folder."""
