"""``kolo top``: a server as it breathes, in a terminal.

From the bottom up; a line imports only from lines above it. Only the last one knows Textual.

::

    spans, words, graph, table      text with roles, numbers, braille, columns
    series, session                 what was seen, and graphs of it
    history                         what was seen before this program began
    sources/, demo/, recording      where messages come from: socket, ssh, file, a made-up server
    state, layout, panels/          what the person chose; what fits; what each panel says
    plain, stream                   without a screen: a table, JSON, lines
    actions, catalog, logs          what can be asked of the server; the other pages
    app/                            Textual: keys, colours, dialogs
"""
