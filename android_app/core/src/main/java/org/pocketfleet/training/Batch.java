package org.pocketfleet.training;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import org.pocketfleet.bundle.TensorSpec;
import org.pocketfleet.data.Dataset;

/**
 * The inputs of one batch, in buffers that are filled again and again. Where a batch is not full,
 * the rest is zeros with weight 0.
 */
final class Batch {
  private static final String LABELS = "y";
  private static final String WEIGHTS = "w";

  private final int size;
  private final ByteBuffer x;
  private final FloatBuffer samples;
  private final ByteBuffer y;
  private final IntBuffer labels;
  private final ByteBuffer w;
  private final FloatBuffer weights;
  private final float[] sample;
  private final float[] zeros;

  /** Makes the buffers for samples of a shape, whose first extent is the batch. */
  Batch(TensorSpec spec) {
    this.size = spec.shape()[0];
    this.x = SignatureCall.allocate(spec);
    this.samples = x.asFloatBuffer();
    this.y = words(size);
    this.labels = y.asIntBuffer();
    this.w = words(size);
    this.weights = w.asFloatBuffer();
    this.sample = new float[samples.capacity() / size];
    this.zeros = new float[sample.length];
  }

  private static ByteBuffer words(int count) {
    return ByteBuffer.allocateDirect(Integer.BYTES * count).order(ByteOrder.nativeOrder());
  }

  /** The buffers by the names of the inputs; {@code input} is that of the samples. */
  Map<String, ByteBuffer> buffers(String input) {
    Map<String, ByteBuffer> buffers = new LinkedHashMap<>();
    buffers.put(input, x);
    buffers.put(LABELS, y);
    buffers.put(WEIGHTS, w);
    return buffers;
  }

  /** The samples' buffer. */
  ByteBuffer samples() {
    return x;
  }

  /** How many samples fit. */
  int size() {
    return size;
  }

  /**
   * Fills the buffers. Allocates nothing.
   *
   * @param order indices of the samples; null: they are taken as they stand
   * @param from where in the order the batch begins
   * @param count how many there are in the batch
   */
  void fill(Samples source, int[] order, int from, int count) {
    samples.clear();
    for (int row = 0; row < count; row++) {
      source.read(order == null ? from + row : order[from + row], sample);
      samples.put(sample);
    }
    for (int row = count; row < size; row++) {
      samples.put(zeros);
    }
  }

  /** Fills in labels and weights of the same samples. Allocates nothing. */
  void label(Dataset data, int[] order, int from, int count) {
    for (int row = 0; row < size; row++) {
      boolean real = row < count;
      labels.put(row, real ? data.label(order == null ? from + row : order[from + row]) : 0);
      weights.put(row, real ? 1 : 0);
    }
  }
}
