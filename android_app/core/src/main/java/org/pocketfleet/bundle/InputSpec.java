package org.pocketfleet.bundle;

/** What a network takes for one sample. */
public final class InputSpec {
  private final int[] shape;
  private final double scale;
  private final double offset;

  InputSpec(int[] shape, double scale, double offset) {
    this.shape = shape;
    this.scale = scale;
    this.offset = offset;
  }

  /** A copy of the extents, without the batch: height, width, channels for images. */
  public int[] shape() {
    return shape.clone();
  }

  /** A pixel is fed as {@code pixel * scale + offset}. */
  public double scale() {
    return scale;
  }

  /** A pixel is fed as {@code pixel * scale + offset}. */
  public double offset() {
    return offset;
  }
}
