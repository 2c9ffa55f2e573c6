package org.pocketfleet.tensor;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Locale;

/**
 * An array of numbers in row-major order. Type and shape never change; whoever holds the buffer can
 * change the elements.
 */
public final class Tensor {
  private final DType type;
  private final int[] shape;
  private final ByteBuffer data;

  /**
   * Wraps a buffer without copying it.
   *
   * @param type element type
   * @param shape extents; empty for a scalar
   * @param data little-endian elements from position to limit
   * @throws IllegalArgumentException the buffer has another number of bytes than the shape needs
   */
  public Tensor(DType type, int[] shape, ByteBuffer data) {
    this.type = type;
    this.shape = shape.clone();
    long bytes = elements(shape) * type.bytes();
    if (data.remaining() != bytes) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "%s %s needs %d bytes, there are %d",
              type.numpyName(),
              Arrays.toString(shape),
              bytes,
              data.remaining()));
    }
    this.data = data.slice().order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Allocates a tensor of zeros in a direct buffer. */
  public static Tensor zeros(DType type, int... shape) {
    int bytes = Math.toIntExact(elements(shape) * type.bytes());
    return new Tensor(type, shape, ByteBuffer.allocateDirect(bytes));
  }

  /** Copies floats into a new tensor. */
  public static Tensor of(float[] values, int... shape) {
    Tensor tensor = zeros(DType.FLOAT32, shape);
    tensor.data().asFloatBuffer().put(values);
    return tensor;
  }

  /** How many elements a shape has. */
  public static long elements(int[] shape) {
    long elements = 1;
    for (int extent : shape) {
      if (extent < 0) {
        throw new IllegalArgumentException("negative extent in " + Arrays.toString(shape));
      }
      elements = Math.multiplyExact(elements, (long) extent);
    }
    return elements;
  }

  /** The element type. */
  public DType type() {
    return type;
  }

  /** A copy of the extents. */
  public int[] shape() {
    return shape.clone();
  }

  /** Whether the extents are these. */
  public boolean hasShape(int... extents) {
    return Arrays.equals(shape, extents);
  }

  /** How many elements there are. */
  public int elements() {
    return data.capacity() / type.bytes();
  }

  /** How many bytes the elements take. */
  public int bytes() {
    return data.capacity();
  }

  /** Whether no element is infinite or NaN. */
  public boolean isFinite() {
    ByteBuffer elements = data();
    boolean finite = true;
    while (finite && elements.hasRemaining()) {
      switch (type) {
        case FLOAT16:
          // All ones in the exponent.
          finite = (elements.getShort() & 0x7c00) != 0x7c00;
          break;
        case FLOAT32:
          finite = Float.isFinite(elements.getFloat());
          break;
        case FLOAT64:
          finite = Double.isFinite(elements.getDouble());
          break;
        default:
          return true;
      }
    }
    return finite;
  }

  /** A new view of the elements, little-endian, from the first to the last; writes go through. */
  public ByteBuffer data() {
    return data.duplicate().order(ByteOrder.LITTLE_ENDIAN);
  }

  @Override
  public String toString() {
    return type.numpyName() + Arrays.toString(shape);
  }
}
