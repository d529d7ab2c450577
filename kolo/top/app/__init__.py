"""The Textual part: keys, colours, dialogs, and a canvas that shows lines. Only here is Textual
imported, and only when a screen is wanted."""
