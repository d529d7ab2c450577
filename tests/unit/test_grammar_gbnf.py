from __future__ import annotations

import re

import pytest
from grammar_cases import EOS, PIECES, THINK, TinyVocab, accepts, feed, gbnf
from hypothesis import given
from hypothesis import strategies as st

from kolo.engine.constraint.cfg import gbnf_to_lark
from kolo.engine.grammar import GrammarCompiler, Matcher
from kolo.errors import BadGrammar

COMPILER = GrammarCompiler(TinyVocab())
JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws  # text
number ::= "-"? ([0-9] | [1-9] [0-9]{0,15}) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws

# a line break, then spaces
ws ::= | " " | "\n" [ \t]{0,20}
"""
# Grammar, texts that llama.cpp's own sampler accepts, texts that it rejects.
CASES: dict[str, tuple[str, list[str], list[str]]] = {
    "json": (
        JSON,
        ['{"a": [1, 2.5e3, true, null], "b": {"c": "d\\n"}}', "{}", '{"é": "\\u00e9"}'],
        ['{"a": tru}', '{"a" 1}', "[]", '{"a": 01}', '{"a": "\x01"}'],
    ),
    "arithmetic": (
        'root ::= (expr "=" ws term "\\n")+\nexpr ::= term ([-+*/] term)*\n'
        'term ::= ident | num | "(" ws expr ")" ws\nident ::= [a-z] [a-z0-9_]* ws\n'
        "num ::= [0-9]+ ws\nws ::= [ \\t\\n]*",
        ["a+b*2=c\n", "(a+b)*c -3 = 5\n", "x=1\ny=2\n"],
        ["a_1=\n", "x=1", "1a=2\n", "_=1\n"],
    ),
    "list": (
        'root ::= item+\nitem ::= "- " [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ "\\n"',
        ["- a\n- b c\n", "- Â\n"],
        ["- \n", "a", "- a", "- a\u2028\n"],
    ),
    "chess": (
        'root ::= "1. " move " " move "\\n" ([1-9] [0-9]? ". " move " " move "\\n")+\n'
        "move ::= (pawn | nonpawn | castle) [+#]?\n"
        'nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]\n'
        'pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?\ncastle ::= "O-O" "-O"?',
        ["1. e4 e5\n2. Nf3 Nc6\n", "1. O-O O-O-O\n12. exd5+ Qxf7#\n", "1. e4 e5\n2. a8=Q Nab1\n"],
        ["1. e4 e5\n", "1. e9 e5\n2. a1 a2\n"],
    ),
    "japanese": (
        "root ::= jp+ ([ \\t\\n] jp+)*\njp ::= [ぁ-ゟ] | [ァ-ヿ] | [、-〾] | [一-鿿]",
        ["こんにちは カタカナ", "漢字、"],
        ["abc", "漢字 ", ""],
    ),
    "c": (
        'root ::= (decl)*\ndecl ::= type id "(" ")" "{" stmt* "}"\ntype ::= ("int" | "float") ws\n'
        "id ::= [a-zA-Z_] [a-zA-Z_0-9]*\nstmt ::=\n"
        '    ( type id ws "=" ws expr ";" ) |\n    ( id ws "=" ws expr ";" ) |\n'
        '    ( "return" ws expr ";" ) |\n    ( "//" [^\\n]* "\\n" ) |\n'
        '    ( "/*" ( [^*] | ("*" [^/]) )* "*/" )\n'
        'expr ::= term (("+" | "-") term)*\nterm ::= id | [0-9]+ | "(" expr ")" | "-" term\n'
        "ws ::= ([ \\t\\n]+)",
        ["int main(){return 0;}", "float a(){//c\n/*x*y*/int b = -(1+c);}int x(){}", ""],
        ["int main(){return0;}", "int a(){/*x}", "intmain(){}"],
    ),
    "prefixes": ('root ::= ("a" | "ab") "bc"', ["abc", "abbc"], ["ab", "abcb"]),
    "overlapping classes": (
        'root ::= [a-z] "1" | [a-c] "2" | "a" "3"',
        ["a1", "a2", "a3", "d1"],
        ["d2", "b3", "z"],
    ),
    "keyword or name": ('root ::= ("if" | [a-z]+) "x"', ["ifx", "xx", "ifxx"], ["x", "if"]),
    "ambiguous": ('root ::= "a"* "a"* "b"? [a-b]*', ["", "aab", "abba"], ["ac"]),
    "escapes": (
        r'root ::= "\x41\u00e9\U0001F600\t\"\\" [\]\[\-a-c]',
        ['Aé😀\t"\\]', 'Aé😀\t"\\b', 'Aé😀\t"\\-'],
        ['Aé😀\t"\\d'],
    ),
    "repetition": (
        'root ::= "a"{2,4} ("b" "c"){0,2} [x-z]{3} "q"{1,} "w"{0}',
        ["aaxyzq", "aaaabcbcxyzqqq"],
        ["axyzq", "aabcxyq", "aaaaaxyzq"],
    ),
    "any character": ('root ::= "<" .* ">" "!"?', ["<a>", "<>>!", "<😀\n>"], ["<a", "a>"]),
    "right recursion": (
        'root ::= item root | item\nitem ::= [a-z]+ ";" ws\nws ::= ([ \\t] ws)?',
        ["ab;  c;", "ab; "],
        ["ab", ";"],
    ),
    "middle recursion": ('root ::= ("a" root "b")?', ["", "aabb"], ["aab", "ba"]),
    "several lines": (
        'root ::= (\n "a"\n | "b" # c\n | "c"\n)+ x\r\nx ::= "1" |\n "2"\n',
        ["abc1", "a2"],
        ["1", "a", "ab3"],
    ),
    "dashes": ("root ::= [a-] [-a] [+-/] [a-c-x]", ["a-+a", "-a.x", "--,-"], ["aa/d", "b-+a"]),
    "literal repeated": ('root ::= "ab"* "cd"+ "e"?', ["ababcd", "cdcde"], ["abb", "cde e"]),
    "empty alternatives": ('root ::= "" | "a" "" "b"', ["", "ab"], ["a", "b"]),
}


def both(text: str) -> list[Matcher]:
    """The matcher as it is compiled, and the one of single code points."""
    single = gbnf_to_lark(text, lambda _: None, TinyVocab.eog_tokens, lexeme=False)
    return [gbnf(text), COMPILER.compile(None, lark=single)]


@pytest.mark.parametrize("name", CASES)
def test_the_language_is_that_of_llama_cpp(name: str) -> None:
    text, good, bad = CASES[name]
    for matcher in both(text):
        assert [sample for sample in good if not accepts(matcher, sample)] == []
        assert [sample for sample in bad if accepts(matcher, sample)] == []


@pytest.mark.parametrize("text", ["a", "日本", "é\u2028", "😀"])
def test_tokens_of_several_characters_and_parts_of_one_are_allowed(text: str) -> None:
    matcher = gbnf("root ::= [^x]+")
    for byte in text.encode():
        assert matcher.allows(byte)
        matcher.accept(byte)
    assert matcher.allows(PIECES.index(b"the "))


def test_right_recursion_goes_on_for_thousands_of_items() -> None:
    matcher = gbnf('root ::= "a" tail\ntail ::= ("b" tail)? | "c"')
    assert feed(matcher, "a" + "b" * 3000)
    assert matcher.accepting


@given(st.text(alphabet="ab", max_size=12))
def test_a_grammar_without_recursion_is_one_expression_with_the_same_language(text: str) -> None:
    pattern = re.compile(r"(?:a|ab)(?:(?:b|ba)*|a{2,3})b?")
    source = 'root ::= head (("b" | "ba")* | "a"{2,3}) "b"?\nhead ::= "a" | "ab"'
    for matcher in both(source):
        assert accepts(matcher, text) == bool(pattern.fullmatch(text))


# Tokens --------------------------------------------------------------------------------------


def test_tokens_are_matched_by_text_or_id() -> None:
    for name in ("<think>", f"<[{THINK}]>"):
        matcher = gbnf(f'root ::= {name} "a"')
        assert matcher.mask().nonzero()[0].tolist() == [THINK]
        matcher.accept(THINK)
        assert feed(matcher, "a")
        assert matcher.finished


def test_a_negated_token_is_any_other_that_does_not_end_the_answer() -> None:
    mask = gbnf(f"root ::= !<[{THINK}]> <think>").mask()
    assert not mask[THINK]
    assert not mask[EOS]
    assert mask[ord("a")]


# Mistakes ------------------------------------------------------------------------------------

MISTAKES: list[tuple[str, str]] = [
    ("", "no rule 'root'"),
    ('start ::= "a"', "no rule 'root'"),
    ('root ::= "a" word', "line 1, column 14: rule 'word' is not defined"),
    ('root ::= "a"\n\nroot ::= "b"', "line 3, column 1: rule 'root' is already defined on line 1"),
    ('root ::= "a', "line 1, column 10: this string is never closed"),
    ("root ::= [a-z", "line 1, column 10: this [ is never closed"),
    ('root ::= ("a"\n | "b"', "line 1, column 10: this ( is never closed"),
    ('root ::= "a")', "line 1, column 13: unexpected ')'"),
    (r'root ::= "\q"', "line 1, column 11: unknown escape '\\\\q'"),
    (r'root ::= "\x4"', "line 1, column 11: unknown escape"),
    (r"root ::= [\U00110000]", "beyond Unicode"),
    ("root ::= [z-a]", "reversed"),
    ("root ::= []", "line 1, column 10: empty character class"),
    ('root ::= "\\x00"', "no character that text can hold"),
    ("root ::= *", "line 1, column 10: nothing for '*' to repeat"),
    ('root ::= "a"{3,1}', "line 1, column 13: this repetition has its bounds reversed"),
    ('root ::= "a"{,3}', "expected a count"),
    ('root ::= "a"{9999999}', "expected a count"),
    ('root ::= "a"\n  | "b"', "line 2, column 3: expected a rule name, found '|'"),
    ('root = "a"', "line 1, column 6: expected ::= after 'root'"),
    ("root ::= <nothing-like-it>", "this model has no token <nothing-like-it>"),
    ("root ::= <[99999]>", "this model has no token <[99999]>"),
    ("root ::= <[x]>", "this model has no token <[x]>"),
    ("root ::= <think", "not written as <text>"),
    (f'root ::= "a" <[{EOS}]>', f"line 1: token <[{EOS}]> ends the answer"),
    ('root ::= root "a" | "b"', "line 1: rule 'root' is left-recursive (root -> root)"),
    ('root ::= a\na ::= b? c\nb ::= "x"\nc ::= a "y" | "z"', "left-recursive (a -> c -> a)"),
    ('root ::= "a" b\nb ::= "b" root', "line 1: rule 'root' can never end"),
    ('root ::= "a" | "b" b\nb ::= "b" b', "line 2: rule 'b' can never end"),
    ("root ::= " + "(" * 100 + '"a"' + ")" * 100, "more than 60 groups"),
    ('root ::= "' + "a" * 300_000 + '"', "characters, the limit is"),
    (
        "".join(f'r{i} ::= r{i + 1} "x"?\n' for i in range(900)) + 'r900 ::= "y"\nroot ::= r0',
        "large",
    ),
]


@pytest.mark.parametrize(("text", "says"), MISTAKES, ids=[says for _, says in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_what_to_do(text: str, says: str) -> None:
    with pytest.raises(BadGrammar, match=re.escape(says).replace(r"\\\\", r"\\{1,2}")) as told:
        gbnf(text)
    assert told.value.hint
    assert told.value.param == "grammar"


def test_a_grammar_too_large_for_one_expression_still_works() -> None:
    rules = "".join(f'r{i} ::= r{i + 1} "x"? | [a-m] r{i + 1}\n' for i in range(120))
    matcher = gbnf(f'root ::= r0\n{rules}r120 ::= "y"{{0,50}}')
    assert feed(matcher, "a" * 100 + "y" * 30 + "x")
    assert matcher.accepting
