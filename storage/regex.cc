// RE2 behind storage/regex.h. RE2 works iteratively (parser, simplifier and compiler walk with stacks of their
// own on the heap), its automata are bounded by max_mem; nesting is bounded here all the same.
#include <re2/filtered_re2.h>
#include <re2/re2.h>

#include <memory>
#include <string>
#include <vector>

// In C++ a function err_record hides the constructor of struct err_record: of no harm here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "base/core/err.h"
}
#pragma GCC diagnostic pop
#include "storage/regex.h"

namespace {

enum { NESTING_MAX = 200, MEM_MAX = 8 << 20, GROUPS_MAX = 64, LITERALS_MAX = 1024, ATOM_MIN = 3 };

const char META[] = "\\.+*?()|[]{}^$";

bool is_meta(char c) { return c != 0 && strchr(META, c) != nullptr; }

// Depth of parentheses. A closing one inside a character class is not told apart, so that it may be too low
// for patterns that are written to fool it: RE2's own structure does not depend on this bound.
int nesting(const std::string &p)
{
    int depth = 0, most = 0;
    for (size_t i = 0; i < p.size(); i++) {
        if (p[i] == '\\') i++;
        else if (p[i] == '(') most = ++depth > most ? depth : most;
        else if (p[i] == ')' && depth > 0) depth--;
    }
    return most;
}

// The pattern without one pair of parentheses that enclose all of it: (a|b), (?:a|b).
std::string unwrapped(const std::string &p)
{
    if (p.size() < 2 || p.front() != '(' || p.back() != ')') return p;
    size_t from = p.compare(0, 3, "(?:") == 0 ? 3 : 1;
    std::string in = p.substr(from, p.size() - from - 1);
    // Without an inner parenthesis, escaped or not, the outer two belong together.
    return in.find_first_of("()") == std::string::npos && in.back() != '\\' ? in : p;
}

// Reads literal characters from *at on; stops before a character with a meaning.
std::string literal_run(const std::string &p, size_t *at)
{
    std::string out;
    size_t i = *at, last = out.size();
    while (i < p.size()) {
        if (p[i] == '\\') {
            if (i + 1 >= p.size() || !is_meta(p[i + 1])) break;
            last = out.size();
            out += p[i + 1];
            i += 2;
            continue;
        }
        if (is_meta(p[i])) break;
        if ((static_cast<unsigned char>(p[i]) & 0xc0) != 0x80) last = out.size();
        out += p[i++];
    }
    // A repetition belongs to the last character; only + needs it once at least.
    if (i < p.size() && (p[i] == '*' || p[i] == '?' || p[i] == '{')) out.resize(last);
    *at = i;
    return out;
}

} // namespace

struct regex {
    std::unique_ptr<RE2> re;
    std::string prefix;
    bool whole = false;
    std::vector<std::string> literals;
    std::vector<struct str> views; // of literals
};

namespace {

void find_literals(struct regex *r, const std::string &pattern)
{
    std::string p = unwrapped(pattern);
    std::vector<std::string> found;
    for (size_t at = 0;;) {
        std::string lit = literal_run(p, &at);
        bool end = at == p.size();
        if (lit.empty() || (!end && p[at] != '|') || found.size() == LITERALS_MAX) return;
        found.push_back(lit);
        if (end) break;
        at++;
    }
    r->literals = std::move(found);
    for (const std::string &s : r->literals)
        r->views.push_back(str{ s.data(), s.size() });
}

void find_prefix(struct regex *r, const std::string &p)
{
    if (r->literals.size() == 1) {
        r->prefix = r->literals[0];
        r->whole = true;
        return;
    }
    size_t at = !p.empty() && p[0] == '^' ? 1 : 0;
    std::string lit = literal_run(p, &at);
    // An alternative outside of parentheses makes the run belong to one branch only. Where brackets or
    // quotes could hide what is what, there is no prefix.
    std::string rest = p.substr(at);
    if (rest.find('|') != std::string::npos) {
        if (rest.find('[') != std::string::npos || rest.find("\\Q") != std::string::npos) return;
        int depth = 0;
        for (size_t i = 0; i < rest.size(); i++) {
            if (rest[i] == '\\') i++;
            else if (rest[i] == '(') depth++;
            else if (rest[i] == ')') depth--;
            else if (rest[i] == '|' && depth <= 0) return;
        }
    }
    r->prefix = lit;
    r->whole = !lit.empty() && (rest.empty() || rest == "$");
}

// May letters of the pattern stand for others than their own two cases? Two of ASCII's have relatives outside (the Kelvin
// sign, the long s), which flags, escapes and other alphabets may bring in.
bool odd_letters(const std::string &p)
{
    for (size_t i = 0; i < p.size(); i++) {
        if (static_cast<unsigned char>(p[i]) >= 0x80) return true;
        if (p[i] == '\\' && i + 1 < p.size() && (p[i + 1] == 'x' || p[i + 1] == 'p' || p[i + 1] == 'P')) return true;
        if (p.compare(i, 2, "(?") == 0 && p.compare(i, 3, "(?:") != 0) return true;
    }
    return false;
}

} // namespace

extern "C" {

err_t regex_new(struct str pattern, struct regex **out)
{
    if (pattern.n > REGEX_PATTERN_MAX)
        return err_set(ERR_INVALID, "a regular expression of %zu bytes, at most %d", pattern.n,
                       static_cast<int>(REGEX_PATTERN_MAX));
    std::string p(pattern.n ? pattern.p : "", pattern.n);
    if (nesting(p) > NESTING_MAX)
        return err_set(ERR_INVALID, "a regular expression nested deeper than %d",
                       static_cast<int>(NESTING_MAX));
    RE2::Options o;
    o.set_log_errors(false);
    o.set_dot_nl(true);
    o.set_max_mem(MEM_MAX);
    auto r = std::make_unique<regex>();
    r->re = std::make_unique<RE2>(p, o);
    if (!r->re->ok())
        return err_set(ERR_INVALID, "a bad regular expression: %.200s", r->re->error().c_str());
    find_literals(r.get(), p);
    find_prefix(r.get(), p);
    *out = r.release();
    return OK;
}

void regex_free(struct regex *r) { delete r; }

bool regex_match(const struct regex *r, struct str s)
{
    re2::StringPiece text(s.n ? s.p : "", s.n);
    return r->re->Match(text, 0, s.n, RE2::ANCHOR_BOTH, nullptr, 0);
}

bool regex_captures(const struct regex *r, struct str s, struct str *groups, int max, int *ngroups)
{
    re2::StringPiece text(s.n ? s.p : "", s.n), found[GROUPS_MAX];
    int n = r->re->NumberOfCapturingGroups() + 1;
    if (n > max) n = max;
    if (n > GROUPS_MAX) n = GROUPS_MAX;
    *ngroups = 0;
    if (!r->re->Match(text, 0, s.n, RE2::ANCHOR_BOTH, found, n)) return false;
    for (int i = 0; i < n; i++)
        groups[i] = str{ found[i].data(), found[i].size() };
    *ngroups = n;
    return true;
}

int regex_group_index(const struct regex *r, struct str name)
{
    const auto &names = r->re->NamedCapturingGroups();
    auto it = names.find(std::string(name.n ? name.p : "", name.n));
    return it == names.end() ? -1 : it->second;
}

struct str regex_pattern(const struct regex *r)
{
    return str{ r->re->pattern().data(), r->re->pattern().size() };
}

struct str regex_prefix(const struct regex *r, bool *whole)
{
    if (whole) *whole = r->whole;
    return str{ r->prefix.data(), r->prefix.size() };
}

int regex_literals(const struct regex *r, const struct str **out)
{
    *out = r->views.data();
    return static_cast<int>(r->views.size());
}

bool regex_atoms(const struct regex *r, void (*each)(void *arg, struct str atom), void *arg)
{
    bool odd = odd_letters(r->re->pattern());
    re2::FilteredRE2 f(ATOM_MIN);
    std::vector<std::string> atoms;
    std::vector<int> without;
    int id;
    if (f.Add(r->re->pattern(), r->re->options(), &id) != RE2::NoError) return false;
    f.Compile(&atoms);
    if (atoms.empty()) return false;
    f.AllPotentials(std::vector<int>(), &without); // does it need an atom at all?
    if (!without.empty()) return false;
    for (const std::string &a : atoms)
        for (char c : a)
            if (static_cast<unsigned char>(c) >= 0x80 || (odd && (c == 'k' || c == 's'))) return false;
    for (const std::string &a : atoms)
        each(arg, str{ a.data(), a.size() });
    return true;
}

} // extern "C"
