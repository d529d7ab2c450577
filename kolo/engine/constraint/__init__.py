"""From constraints to llguidance's grammars; ``kolo.engine.grammar`` is the way in.

::

    compiling   what a constraint becomes, and what is said when it cannot
    ├── schema      JSON Schema written anew, keyword by keyword
    │   ├── vocabulary  which keywords are kept
    │   ├── keywords    numbers, strings, counts, constants
    │   ├── pattern     ECMA-262 expressions and formats
    │   ├── graph       what holds of all definitions together
    │   └── disjoint    whether the branches of oneOf exclude each other
    └── cfg         GBNF's rules as Lark, the same language
        └── gbnf        reading GBNF
    closing     the way out of unfinished JSON
"""
