"""Blocks of neighbouring numbers that compiled loops hold in the processor's registers, which numba does not do by itself.

A block has the type of the array that it comes from: 64 numbers are four registers of AVX-512, 16 are one.
"""
import hashlib
import os
from functools import partial
from pathlib import Path

import numba
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

FOLDED = 16  # numbers of the block that `add_folded` adds to
FLAGS = ("contract", "reassoc", "nsz")  # sums in any order; NaN stays NaN

SOURCES = ("gates.py", "kernels.py", "terms.py", "vectors.py")  # what compiled code is made of


def cache_folder() -> str:
    """Where numba keeps what it compiles of these sources: a folder of their digest, as numba looks at a function's own file alone, and not
    at those that it inlines. It lies where numba would put it: in NUMBA_CACHE_DIR, beside the sources, or in the user's cache.
    """
    folder = Path(__file__).parent
    users = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "numba"
    usual = numba.config.CACHE_DIR or (folder / "__pycache__" if os.access(folder, os.W_OK) else users)
    digest = hashlib.sha256(b"\0".join((folder / name).read_bytes() for name in SOURCES)).hexdigest()
    return os.path.join(usual, digest[:12])


def compiled(function, kept_in: str = cache_folder(), **options):
    """What Python calls is `compiled`, all else is `inlined` into it. A function that was compiled by itself would, in the process that
    compiled it, be called in place of its copy in the program, and may take sums in another order than the copy that other processes load.
    """
    usual, numba.config.CACHE_DIR = numba.config.CACHE_DIR, kept_in  # which numba reads here, and others' functions keep theirs
    try:
        return numba.njit(nogil=True, cache=True, fastmath=set(FLAGS), **options)(function)
    finally:
        numba.config.CACHE_DIR = usual


inlined = partial(compiled, forceinline=True)


class Block(types.Type):
    def __init__(self, dtype: types.Type, lanes: int):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Block({dtype}, {lanes})")

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(ir.FloatType() if self.dtype == types.float32 else ir.DoubleType(), self.lanes)


@register_model(Block)
class BlockModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.vector)


def spread(builder, value, vector: ir.VectorType):
    """The vector whose every number is `value`."""
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count))


def place(context, builder, array_type, array, index, vector: ir.VectorType):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@intrinsic(prefer_literal=True)
def block(typing, value, count):
    """A block of so many times the number; `count` is written out."""
    found = Block(value, count.literal_value)
    return found(value, count), lambda context, builder, sig, args: spread(builder, args[0], found.vector)


@intrinsic
def lanes(typing, like):
    """How many numbers a block has."""
    return types.intp(like), lambda context, builder, sig, args: context.get_constant(types.intp, like.lanes)


@intrinsic
def load(typing, array, index, like):
    """The numbers of a contiguous array from an index on, as many as the block `like` has; nobody looks at bounds."""
    def code(context, builder, sig, args):
        return builder.load(place(context, builder, sig.args[0], *args[:2], like.vector), align=array.dtype.bitwidth // 8)
    return like(array, types.intp, like), code


@intrinsic
def store(typing, array, index, block):
    """Puts a block into an array from an index on."""
    def code(context, builder, sig, args):
        builder.store(args[2], place(context, builder, sig.args[0], *args[:2], block.vector), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()
    return types.void(array, types.intp, block), code


@intrinsic
def add_product(typing, block, factor, other):
    """block + factor * other, where the factor is a number or a block."""
    def code(context, builder, sig, args):
        by = args[1] if isinstance(factor, Block) else spread(builder, args[1], block.vector)
        return builder.fadd(args[0], builder.fmul(by, args[2], flags=FLAGS), flags=FLAGS)
    return block(block, factor, other), code


@intrinsic
def add_folded(typing, folded, block, other):
    """A block of `FOLDED` numbers + the products of two blocks' numbers: of 64 the quarters are added up, of fewer zeros are the rest."""
    def code(context, builder, sig, args):
        total, nothing, width = args[0], ir.Constant(args[1].type, None), ir.VectorType(ir.IntType(32), FOLDED)
        for first in range(0, block.lanes, FOLDED):
            part = ir.Constant(width, [min(first + i, block.lanes) for i in range(FOLDED)])
            a, b = (builder.shuffle_vector(each, nothing, part) for each in args[1:])
            total = builder.fadd(total, builder.fmul(a, b, flags=FLAGS), flags=FLAGS)
        return total
    return folded(folded, block, other), code


@intrinsic
def rectified(typing, block, by):
    """A block's numbers, but 0 where those of `by` are 0 or less."""
    def code(context, builder, sig, args):
        nothing = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered("<=", args[1], nothing), nothing, args[0])
    return block(block, by), code
