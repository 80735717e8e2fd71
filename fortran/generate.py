"""Makes weft.f90 from weft.f90.in and the public C headers: python3 generate.py (with -: prints it)

Every function, options struct and constant of include/weft/*.h is translated by the rules in weft.f90.in's head. What
cannot be said in Fortran, or is said better by hand, stands in the tables below; anything else that is not understood is an
error, so that nothing is left out in silence. tests/check_fortran.sh compares the result with the library and with this
script's output.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
HEADERS = HERE.parent / "include" / "weft"

# Without an interface here, and why. Functions of any number of arguments are left out too, and all of <weft/sys/...>: tables
# of C callbacks.
EXCEPTIONS = {
    "weft_open_mpi": "takes C's handle: weft_open_mpi_f",
}
# The interface alone is made; weft.f90.in has the procedure.
BY_HAND = {"weft_open", "weft_open_text", "weft_open_mpi_f", "weft_wrap", "weft_tensor_of", "weft_copy_in", "weft_copy_out",
           "weft_loader_arrays"}
# What these return is asked for: functions, not subroutines with a status.
QUERIES = {"weft_error"}
# Pointers to one number, not to an array.
SCALARS = {"worst", "argc"}
# Numbers of elements of the array beside them.
COUNTS = {"n", "rank", "xrank", "count", "naxes", "ndims"}

KINDS = {"int": "integer(c_int)", "int32_t": "integer(c_int32_t)", "int64_t": "integer(c_int64_t)", "uint64_t": "integer(c_int64_t)",
         "uint32_t": "integer(c_int32_t)", "size_t": "integer(c_size_t)", "double": "real(c_double)", "float": "real(c_float)",
         "bool": "logical(c_bool)", "unsigned": "integer(c_int)", "MPI_Fint": "integer(c_int)"}
LONG = {"int64_t", "uint64_t", "size_t"}
ARRAYS = {"f32": "real(c_float)", "f64": "real(c_double)", "i32": "integer(c_int32_t)", "i64": "integer(c_int64_t)"}


# Arrays whose index is a constant that counts from 0.
FROM_ZERO = {"weft_memory_report%kind"}


class Unknown(Exception):
    pass


def strip(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"#ifdef __cplusplus.*?(#else(.*?))?#endif", r"\2", text, flags=re.S)  # C's side
    return re.sub(r"\\\n", " ", text)


def wrap(text, indent=4):
    """Lines of at most 132 characters, continued."""
    lines, line = [], " " * indent
    for part in re.split(r"(?<=,) ", text):
        if len(line) + len(part) > 124 and line.strip():
            lines.append(line.rstrip() + " &")
            line = " " * (indent + 8)
        line += part + " "
    return "\n".join(lines + [line.rstrip()])


class Headers:
    def __init__(self):
        self.handles, self.enums, self.callbacks = [], {}, []
        self.structs, self.functions, self.constants = {}, {}, {}
        text = "".join(strip((HEADERS / h.name).read_text()) for h in sorted(HEADERS.glob("*.h")))
        self.handles = re.findall(r"typedef struct (weft_\w+) \1;", text)
        self.callbacks = re.findall(r"typedef [^;{}]*\(\*(weft_\w+)\)\([^;]*;", text)
        self.functions_of = re.findall(r"typedef [\w *]+?(weft_\w+)\([^;{}]*;", text)  # types of functions, used with a *
        for body, name in re.findall(r"typedef enum weft_\w+ \{(.*?)\} (weft_\w+);", text, flags=re.S):
            self.enums[name] = self.enumerators(body, text)
        for name, body in re.findall(r"typedef struct (weft_\w+) \{(.*?)\} \1;", text, flags=re.S):
            self.structs[name] = [m for line in body.split(";") for m in self.members(name, line)]
        for name, value in re.findall(r"#define (WEFT_\w+) +\(?(-?\d+|INT32_MAX)\)?[ \n]", text):
            self.constants[name] = "huge(0_c_int32_t)" if value == "INT32_MAX" else value
        for result, name, arguments in re.findall(r"WEFT_API ([\w \*]+?)(weft_\w+)\((.*?)\)\s*(?:WEFT_\w+\([^)]*\))?;", text, flags=re.S):
            self.functions[name] = (result.strip(), [] if arguments == "void" else self.split(arguments))

    def enumerators(self, body, text):
        m = re.search(r"(WEFT_\w+_LIST)\(", body)
        if m:  # an X-macro
            at = text.index("#define " + m.group(1))
            return dict(re.findall(r"E\((WEFT_\w+), (-?\d+),", text[at:text.index("\n", at)]))
        pairs, next_value = {}, 0
        for item in filter(None, (w.strip() for w in body.split(","))):
            name, _, value = (w.strip() for w in item.partition("="))
            next_value = int(value) if value else next_value
            pairs[name], next_value = str(next_value), next_value + 1
        return pairs

    def members(self, struct, line):
        line = re.sub(r"WEFT_PTR\(.*?\)", "", line.replace("WEFT_INIT", "")).strip()
        if not line:
            return
        inner = re.search(r"\(\*(\w+)\)\s*([(\[])", line)  # a function's address, or an array's
        if inner:
            yield inner.group(1), "function" if inner.group(2) == "(" else "void", inner.group(2) == "[", None
            return
        m = re.fullmatch(r"(?:const )?(?:struct )?(\w+)\s+(.*)", line, flags=re.S)
        for word in m.group(2).split(","):
            parts = re.fullmatch(r"((?:[\s*]|\bconst\b)*)(\w+)\s*(?:\[(\w+)\])?", word.strip())
            if not parts:
                sys.exit(f"generate.py: {struct} has the member '{line}'; teach this script")
            yield parts.group(2), m.group(1), "*" in parts.group(1), parts.group(3)

    def split(self, arguments):
        out = []
        for a in arguments.split(","):
            a = " ".join(a.split())
            if a == "...":
                return None
            m = re.fullmatch(r"(.*?)(\w+)(\[.*\])?", a)
            out.append((m.group(1).strip() + (" *" if m.group(3) else ""), m.group(2)))
        return out

    def is_int(self, c):
        return c in self.enums

    def kind(self, c):
        if c in self.enums:
            return "integer(c_int)"
        if c in self.structs or c in self.handles:
            return f"type({c})"
        if c in KINDS:
            return KINDS[c]
        if c in self.callbacks or c in self.functions_of:
            return "type(c_funptr)"
        raise Unknown(f"the C type '{c}'")


def constants(h):
    pairs = dict(h.constants)
    for e in h.enums.values():
        pairs.update(e)
    yield wrap("public :: " + ", ".join(pairs))
    for name, value in pairs.items():
        yield f"    integer(c_int), parameter :: {name} = {value}"


def types(h):
    yield wrap("public :: " + ", ".join(h.handles + list(h.structs)))
    for name in h.handles:
        yield f"\n    type, bind(C) :: {name}\n        private\n        type(c_ptr) :: p = c_null_ptr\n    end type"
    for name, members in h.structs.items():
        yield f"\n    type, bind(C) :: {name}"
        for member, c, pointer, array in members:
            extent = f"({h.constants.get(array, array)})" if array else ""
            if f"{name}%{member}" in FROM_ZERO:
                extent = f"(0:{int(extent[1:-1]) - 1})"
            if pointer and c in h.handles:
                yield f"        type({c}) :: {member}{extent}"
            elif c in h.callbacks or c == "function" or c in h.functions_of:
                yield f"        type(c_funptr) :: {member}{extent} = c_null_funptr"
            elif pointer:
                yield f"        type(c_ptr) :: {member}{extent} = c_null_ptr"
            elif c in h.structs:
                yield f"        type({c}) :: {member}{extent}"
            else:
                kind = h.kind(c)
                zero = ".false." if c == "bool" else "0"
                yield f"        {kind} :: {member}{extent} = {zero}"
        yield "    end type"


class Argument:
    """One argument of a C function: how it is declared in the interface, and in the procedure around it."""

    def __init__(self, h, c, name):
        self.h, self.c, self.name = h, c, name
        self.const = c.startswith("const ")
        self.base = re.sub(r"\b(const|struct)\b|\*", "", c).strip()
        self.stars = c.count("*") - (self.base in h.functions_of)
        self.long = self.stars == 0 and self.base in LONG
        self.shape = self.stars == 1 and self.base in LONG and self.const
        self.text = self.base == "char" and self.stars == 1
        self.flag = self.base == "bool" and self.stars == 0
        self.array = (self.stars == 1 and self.base in KINDS and name not in SCALARS) or \
            (self.stars == 2 and self.base in h.handles and self.const_inside())
        self.count_of = None  # the array whose extent this is

    def const_inside(self):
        return "*const" in self.c.replace(" ", "")

    def interface(self):
        n, h = self.name, self.h
        if self.text:
            return f"character(kind=c_char), intent(in) :: {n}(*)"
        if self.base == "char" or (self.base == "void" and self.stars):
            return f"type(c_ptr), value :: {n}" if self.stars == 1 else f"type(c_ptr), intent(inout) :: {n}"
        if self.base in h.handles:
            if self.stars == 1:
                return f"type({self.base}), value :: {n}"
            return f"type({self.base}), intent(in) :: {n}(*)" if self.const_inside() else f"type({self.base}), intent(inout) :: {n}"
        kind = h.kind(self.base)
        if self.stars == 0:
            return f"{kind}, value :: {n}"
        intent = "intent(in)" if self.const else "intent(inout)"
        if self.base in h.structs:
            return f"{kind}, {intent}{', optional' if self.const else ''} :: {n}"
        return f"{kind}, {intent} :: {n}" + ("(*)" if self.array else "")

    def procedure(self, short):
        """The declaration around; short: for default integers."""
        n, d = self.name, self.interface()
        if self.text:
            return f"character(*), intent(in) :: {n}"
        if self.flag:
            return f"logical, intent(in) :: {n}"
        if short and self.long:
            return f"integer(c_int32_t), intent(in) :: {n}"
        if short and self.shape:
            return f"integer(c_int32_t), intent(in) :: {n}(:)"
        if self.stars == 0 and self.base in self.h.enums:
            return f"integer, intent(in) :: {n}"
        if self.array and self.counted:
            held = ", target, contiguous" if not self.const and self.base in KINDS else ""
            return d.replace(" :: ", held + " :: ").replace("(*)", "(:)")
        if ", value" in d:
            return d.replace(", value", ", intent(in)")
        return d

    def actual(self, short):
        n = self.name
        if self.text:
            return f"{n}//c_null_char"
        if self.flag:
            return f"logical({n}, c_bool)"
        if self.count_of:
            return f"size({self.count_of.name}, kind={self.h.kind(self.base)[8:-1]})"
        if short and (self.long or self.shape):
            return f"int({n}, {self.h.kind(self.base)[8:-1]})"
        return n


class Function:
    def __init__(self, h, name, result, arguments):
        self.h, self.name = h, name
        self.arguments = [Argument(h, c, n) for c, n in arguments]
        self.result = re.sub(r"\bconst\b|\*", "", result).strip()
        self.text = self.result == "char"
        self.flag = self.result == "bool"
        self.status = self.result == "weft_status" and name not in QUERIES
        self.none = self.result == "void" and "*" not in result
        self.pair()

    def pair(self):
        """A number of elements stands next to its array."""
        for i, a in enumerate(self.arguments):
            a.counted = False
        for i, a in enumerate(self.arguments):
            for j in (i + 1, i - 1):
                if a.name in COUNTS and a.stars == 0 and 0 <= j < len(self.arguments):
                    b = self.arguments[j]
                    if b.array and not b.counted:
                        a.count_of, b.counted = b, True
                        break

    def wrapped(self):
        return self.status or self.text or self.flag or any(
            a.text or a.flag or a.long or a.shape or a.count_of for a in self.arguments) or \
            any(a.base in self.h.enums for a in self.arguments)

    def shortened(self):
        return any((a.long and not a.count_of) or a.shape for a in self.arguments)

    def result_kind(self):
        if self.text or self.result == "void":
            return "type(c_ptr)"
        return self.h.kind(self.result)

    def interface(self):
        name = f"c_{self.name}" if self.wrapped() or self.name in BY_HAND else self.name
        what = "subroutine" if self.none else "function"
        head = f"{what} {name}({', '.join(a.name for a in self.arguments)}) bind(C, name=\"{self.name}\")"
        yield wrap(head + ("" if self.none else " result(returned)"), 8)
        yield "            import"
        for a in self.arguments:
            yield f"            {a.interface()}"
        if not self.none:
            yield f"            {self.result_kind()} :: returned"
        yield f"        end {what}"

    def procedure(self, name, short):
        outer = [a for a in self.arguments if not a.count_of]
        what = "subroutine" if self.none or self.status else "function"
        names = [a.name for a in outer] + (["status"] if self.status else [])
        yield wrap(f"{what} {name}({', '.join(names)})" + ("" if what == "subroutine" else " result(returned)"))
        for a in outer:
            yield f"        {a.procedure(short)}"
        call = f"c_{self.name}({', '.join(a.actual(short) for a in self.arguments)})"
        if self.status:
            yield "        integer, intent(out), optional :: status"
            yield wrap(f"call give(status, {call})", 8)
        elif self.none:
            yield wrap(f"call {call}", 8)
        else:
            kind = "character(:), allocatable" if self.text else "logical" if self.flag else \
                "integer" if self.result in self.h.enums else self.result_kind()
            yield f"        {kind} :: returned"
            yield wrap(f"returned = text_of({call})" if self.text else f"returned = {call}", 8)
        yield f"    end {what}"

    def procedures(self):
        if not self.shortened():
            yield from self.procedure(self.name, False)
        else:
            yield from self.procedure(f"{self.name}_i64", False)
            yield ""
            yield from self.procedure(f"{self.name}_i32", True)


def interfaces(h, functions):
    yield wrap("public :: " + ", ".join(f.name for f in functions if f.name not in BY_HAND))
    for f in functions:
        if f.shortened() and f.name not in BY_HAND:
            yield f"    interface {f.name}\n        procedure {f.name}_i64, {f.name}_i32\n    end interface"
    yield "    interface"
    yield '        function c_strlen(s) bind(C, name="strlen") result(r)\n            import\n            type(c_ptr), value :: s'
    yield "            integer(c_size_t) :: r\n        end function"
    for f in functions:
        yield from f.interface()
    yield "    end interface"


def procedures(functions):
    for f in functions:
        if f.wrapped() and f.name not in BY_HAND:
            yield ""
            yield from f.procedures()


ARRAY = """
    function weft_wrap_{t}(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        {kind}, intent(inout), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_wrap(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_{T})
    end function

    function weft_tensor_of_{t}(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        {kind}, intent(in), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_tensor_of(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_{T})
    end function

    subroutine weft_copy_in_{t}(t, a, status)
        type(weft_tensor), intent(in) :: t
        {kind}, intent(in), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_in(t, c_loc(a), bytes_of(t, WEFT_{T}, size(a, kind=c_size_t))))
    end subroutine

    subroutine weft_copy_out_{t}(t, a, status)
        type(weft_tensor), intent(in) :: t
        {kind}, intent(inout), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_out(t, c_loc(a), bytes_of(t, WEFT_{T}, size(a, kind=c_size_t))))
    end subroutine
"""
BYTES = """
    ! Bytes of n elements; nothing that fits if the tensor has another type.
    function bytes_of(t, dtype, n) result(r)
        type(weft_tensor), intent(in) :: t
        integer(c_int), intent(in) :: dtype
        integer(c_size_t), intent(in) :: n
        integer(c_size_t) :: r
        r = n*weft_dtype_size(dtype)
        if (weft_dtype_of(t) /= dtype) r = huge(r)
    end function
"""
LOADER = """
    function weft_loader_arrays_{x}{y}(f, x, {yarg}options) result(r)
        type(weft_fabric), intent(in) :: f
        {xkind}, intent(in), target, contiguous :: x(..)
{ydeclare}        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
{ycheck}        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_{X}, {yaddress}, WEFT_{Y}, options)
    end function
"""


ASSOCIATED = """
    pure function weft_associated_{t}(handle) result(r)
        type(weft_{t}), intent(in) :: handle
        logical :: r
        r = c_associated(handle%p)
    end function
"""


def array_procedures(h):
    for t in h.handles:
        yield ASSOCIATED.format(t=t[5:])
    yield BYTES
    for t, kind in ARRAYS.items():
        yield ARRAY.format(t=t, T=t.upper(), kind=kind)
    for x in ("f32", "f64"):
        for y in [""] + list(ARRAYS):
            yield LOADER.format(
                x=x, X=x.upper(), xkind=ARRAYS[x], y=y and f"_{y}", Y=(y or "i64").upper(), yarg=y and "y, ",
                ydeclare=y and f"        {ARRAYS[y]}, intent(in), target, contiguous :: y(:)\n",
                yaddress="c_loc(y)" if y else "c_null_ptr",
                ycheck=y and "        if (size(y, kind=c_int64_t) /= extent(1)) then\n            call weft_fail_text(f, WEFT_ESHAPE, "
                '"weft_loader_arrays: x and y have different numbers of rows")\n            return\n        end if\n')


def array_interfaces(h):
    yield "    interface weft_associated ! false: NULL, after an error\n" + wrap(
        "procedure " + ", ".join(f"weft_associated_{t[5:]}" for t in h.handles), 8) + "\n    end interface"
    for name in "weft_wrap", "weft_tensor_of", "weft_copy_in", "weft_copy_out":
        yield wrap(f"interface {name}", 4)
        yield wrap("procedure " + ", ".join(f"{name}_{t}" for t in ARRAYS), 8)
        yield "    end interface"
    yield "    interface weft_loader_arrays"
    yield wrap("procedure " + ", ".join(f"weft_loader_arrays_{x}{y and '_' + y}" for x in ("f32", "f64") for y in [""] + list(ARRAYS)), 8)
    yield "    end interface"


def main():
    h = Headers()
    functions, left = [], dict(EXCEPTIONS)
    for name, (result, arguments) in h.functions.items():
        if arguments is None:
            left[name] = "takes any number of arguments"
        if name in left:
            continue
        try:
            f = Function(h, name, result, arguments)
            list(f.interface())
            functions.append(f)
        except Unknown as e:
            sys.exit(f"generate.py: {name} uses {e}; teach this script, or name it in EXCEPTIONS with the reason")
    text = (HERE / "weft.f90.in").read_text()
    parts = {"left": (f"! Not here: {name} {why}" for name, why in sorted(left.items())), "constants": constants(h), "types": types(h), "interfaces": interfaces(h, functions), "procedures": procedures(functions),
             "arrays_interfaces": array_interfaces(h), "arrays_procedures": array_procedures(h)}
    for key, lines in parts.items():
        text = text.replace(f"@{key}@", "\n".join(lines).strip("\n"))
    text = re.sub(r"\n{3,}", "\n\n", text)
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(text)
    else:
        (HERE / "weft.f90").write_text(text)


main()
