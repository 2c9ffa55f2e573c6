package org.pocketfleet.tensor;

/** Arithmetic on shapes that were read from somewhere, and so may be anything. */
final class Shapes {
  static final int MAX_DIMENSIONS = 32;

  private Shapes() {}

  /** How many bytes a shape needs; {@code Long.MAX_VALUE} if that is more than a long can hold. */
  static long bytes(DType type, long[] shape) {
    long count = type.bytes();
    boolean overflow = false;
    for (long extent : shape) {
      if (extent == 0) {
        return 0;
      }
      overflow |= count > Long.MAX_VALUE / extent;
      count = overflow ? Long.MAX_VALUE : count * extent;
    }
    return count;
  }

  /** Narrows extents; null if there are too many of them or one is too large for a tensor. */
  static int[] narrow(long[] shape) {
    if (shape.length > MAX_DIMENSIONS) {
      return null;
    }
    int[] narrow = new int[shape.length];
    for (int at = 0; at < shape.length; at++) {
      if (shape[at] > Integer.MAX_VALUE) {
        return null;
      }
      narrow[at] = (int) shape[at];
    }
    return narrow;
  }
}
