package org.pocketfleet.bundle;

import org.pocketfleet.tensor.DType;

/** A variable that the model carries as state. */
public final class Variable {
  private final String path;
  private final int[] shape;
  private final DType type;
  private final boolean trained;

  Variable(String path, int[] shape, DType type, boolean trained) {
    this.path = path;
    this.shape = shape;
    this.type = type;
    this.trained = trained;
  }

  /** The Keras variable path: {@code conv1/kernel}. */
  public String path() {
    return path;
  }

  /** A copy of the extents. */
  public int[] shape() {
    return shape.clone();
  }

  /** The element type. */
  public DType type() {
    return type;
  }

  /** Whether an optimizer updates it. */
  public boolean trained() {
    return trained;
  }
}
