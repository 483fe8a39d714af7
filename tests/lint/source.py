"""What the lints in Python share: the files of the tree, and the functions of a C file. Not a parser: it leans on
the house's layout, where a function begins at column 0 and its closing brace stands alone there."""
import os
import re
import subprocess

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
FLOORS = ("base/", "storage/", "cluster/", "query/", "server/")
NAME = re.compile(r"(\w+)\s*\($")
NOT_FUNCTIONS = {"if", "for", "while", "switch", "return", "sizeof", "defined", "_Static_assert"}


def files(*endings):
    """Paths below the root, tracked or new, that exist; production and tests alike."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True, capture_output=True, check=True).stdout
    return [p for p in out.split("\n") if p and (not endings or p.endswith(endings)) and os.path.exists(os.path.join(ROOT, p))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def code(text):
    """The text with comments and the insides of strings blanked; lines stay where they are."""
    def blank(m):
        s = m.group(0)
        if s[0] in "\"'":
            return s[0] + " " * (len(s) - 2) + s[0]
        return "".join("\n" if c == "\n" else " " for c in s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


class Function:
    def __init__(self, name, head, body, first, last):
        self.name, self.head, self.body, self.first, self.last = name, head, body, first, last
        self.static = bool(re.search(r"\bstatic\b", head))
        self.lines = last - first + 1


def head_name(head):
    """The name before the first parenthesis that opens a parameter list, or None."""
    m = re.search(r"\b(\w+)\s*\(", re.sub(r"__attribute__\s*\(\([^)]*\)*\)|\b(PRINTF_LIKE|PRINTF|_Alignas|alignas)\s*\([^)]*\)", "", head))
    return m.group(1) if m and m.group(1) not in NOT_FUNCTIONS else None


def functions(text):
    """Function definitions, in order. `text` has been through code()."""
    lines = text.split("\n")
    out = []
    start = None
    i = 0
    while i < len(lines):
        line = lines[i]
        if start is None:
            if line[:1].isalpha() or line[:1] == "_":
                start = i
            else:
                i += 1
                continue
        if line.rstrip().endswith("{"):
            head = " ".join(lines[start:i + 1])
            end = i + 1
            while end < len(lines) and not lines[end].startswith("}"):
                end += 1
            name = head_name(head)
            if name and "=" not in head.split("(")[0] and not head.lstrip().startswith(("struct", "enum", "union", "typedef")) \
                    or name and re.match(r"(struct|enum|union)\s+\w+[\s*]+\w+\s*\(", head):
                out.append(Function(name, head, "\n".join(lines[i + 1:end]), start + 1, end + 1))
            start = None
            i = end + 1
            continue
        if re.match(r"\w.*\{.*\}\s*$", line) and "(" in line.split("{")[0]:
            name = head_name(line.split("{")[0])
            if name and "=" not in line.split("{")[0]:
                out.append(Function(name, line.split("{")[0], line.split("{", 1)[1], i + 1, i + 1))
            start = None
        elif line.rstrip().endswith((";", "}", ",")) and line.count("(") == line.count(")") and ";" in line or line.startswith(("#", "}")):
            start = None
        i += 1
    return out


def prototypes(text):
    """(name, whole prototype) of a header. `text` has been through code()."""
    for m in re.finditer(r"^(?!#|typedef|\s|\})([\w][^;{}]*?\))\s*([\w() ,]*);", text, flags=re.M | re.S):
        name = head_name(m.group(1))
        if name:
            yield name, m.group(0)


def ratchet(path):
    """A list of exceptions: one a line, '#' begins a comment."""
    out = {}
    for line in read(path).split("\n"):
        words = line.split("#")[0].split()
        if words:
            out[words[0]] = words[1:]
    return out
