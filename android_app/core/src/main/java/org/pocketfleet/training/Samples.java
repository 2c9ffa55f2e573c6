package org.pocketfleet.training;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import org.pocketfleet.bundle.InputSpec;
import org.pocketfleet.data.Dataset;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;

/** Samples as a network takes them: numbers in float32, one sample at a time. */
abstract class Samples {
  private final int size;
  private final int elements;

  private Samples(Tensor tensor) {
    this.size = tensor.shape()[0];
    this.elements = size == 0 ? 0 : tensor.elements() / size;
  }

  /** Samples of a dataset: pixels are scaled, floats are taken as they are. */
  static Samples of(Dataset data, InputSpec spec) {
    return data.x().type() == DType.UINT8 ? new Pixels(data.x(), spec) : new Floats(data.x());
  }

  /** Features, or other floats. */
  static Samples of(Tensor floats) {
    return new Floats(floats);
  }

  /** How many there are. */
  final int size() {
    return size;
  }

  /** How many numbers a sample is. */
  final int elements() {
    return elements;
  }

  /** Copies a sample to the beginning of an array. Allocates nothing. */
  abstract void read(int sample, float[] into);

  private static final class Pixels extends Samples {
    private static final int VALUES = 256;
    private final ByteBuffer data;
    private final byte[] pixels;
    private final float[] scaled = new float[VALUES];

    Pixels(Tensor tensor, InputSpec spec) {
      super(tensor);
      this.data = tensor.data();
      this.pixels = new byte[elements()];
      float scale = (float) spec.scale();
      float offset = (float) spec.offset();
      for (int value = 0; value < VALUES; value++) {
        float product = value * scale;
        scaled[value] = offset == 0 ? product : product + offset;
      }
    }

    @Override
    void read(int sample, float[] into) {
      data.position(sample * pixels.length);
      data.get(pixels);
      for (int at = 0; at < pixels.length; at++) {
        into[at] = scaled[pixels[at] & 0xff];
      }
    }
  }

  private static final class Floats extends Samples {
    private final FloatBuffer data;

    Floats(Tensor tensor) {
      super(tensor);
      this.data = tensor.data().asFloatBuffer();
    }

    @Override
    void read(int sample, float[] into) {
      data.position(sample * elements());
      data.get(into, 0, elements());
    }
  }
}
