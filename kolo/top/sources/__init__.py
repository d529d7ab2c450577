"""Where messages come from. All are one kind of thing: see ``base.Source``."""
