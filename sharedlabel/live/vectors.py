"""Blocks of neighbouring numbers that compiled loops hold in the processor's registers, which numba does not do by itself.

A block has the type of the array that it comes from, and 64 or 16 numbers: four registers of AVX-512, or one.
"""
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

LARGE, SMALL = 64, 16
FLAGS = ("contract", "reassoc", "nsz")  # sums in any order; NaN stays NaN


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


@intrinsic
def large(typing, value):
    """A block of 64 times the number."""
    block = Block(value, LARGE)
    return block(value), lambda context, builder, sig, args: spread(builder, args[0], block.vector)


@intrinsic
def small(typing, value):
    """A block of 16 times the number."""
    block = Block(value, SMALL)
    return block(value), lambda context, builder, sig, args: spread(builder, args[0], block.vector)


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
def total_of_products(typing, block, other):
    """The sum of the products of two blocks' numbers."""
    def code(context, builder, sig, args):
        number, name = block.vector.element, f"llvm.vector.reduce.fadd.v{block.lanes}f{block.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number, block.vector]), name)
        return builder.call(function, [ir.Constant(number, -0.0), builder.fmul(*args, flags=FLAGS)], fastmath=FLAGS[1:])
    return block.dtype(block, other), code
