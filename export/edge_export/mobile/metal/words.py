"""Words of Swift that no generated identifier may be."""

from __future__ import annotations

# Reserved by the language anywhere, or in some places; what Swift gives every type; and the members
# that the generated structures have of their own.
_WORDS = (
    "actor any as associatedtype associativity async await borrowing break case catch class "
    "consuming continue convenience default defer deinit didSet do dynamic each else enum "
    "extension fallthrough false fileprivate final for func get guard if import in indirect infix "
    "init inout internal is isolated lazy left let macro mutating nil none nonisolated nonmutating "
    "open operator optional override postfix precedence precedencegroup prefix private protocol "
    "public repeat required rethrows return right self set some static struct subscript super "
    "switch throw throws true try typealias unowned var weak where while willSet "
    "Any Protocol Self Type "
    "top zeros"
)
KEYWORDS = frozenset(_WORDS.split())

# Modules that a package of ours may not be called: those that it is built on.
MODULES = frozenset(
    {
        "TensorFlowLite",
        "TensorFlowLiteC",
        "TensorFlowLiteCMetal",
        "Foundation",
        "Metal",
        "XCTest",
        "Swift",
    }
)
