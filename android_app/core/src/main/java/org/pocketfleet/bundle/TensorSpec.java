package org.pocketfleet.bundle;

import org.pocketfleet.tensor.DType;

/** Shape and type of an input or output of a signature. */
public final class TensorSpec {
  private final int[] shape;
  private final DType type;

  TensorSpec(int[] shape, DType type) {
    this.shape = shape;
    this.type = type;
  }

  /** A copy of the extents, the batch first where there is one; empty for a scalar. */
  public int[] shape() {
    return shape.clone();
  }

  /** The element type. */
  public DType type() {
    return type;
  }
}
