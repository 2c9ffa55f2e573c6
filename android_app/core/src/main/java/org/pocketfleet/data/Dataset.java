package org.pocketfleet.data;

import java.util.Arrays;
import java.util.Locale;
import org.pocketfleet.bundle.Manifest;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;

/** Labelled samples that fit a network. */
public final class Dataset {
  private final Tensor x;
  private final int[] y;
  private final String name;

  private Dataset(Tensor x, int[] y, String name) {
    this.x = x;
    this.y = y;
    this.name = name;
  }

  /**
   * Checks samples and makes a dataset of them.
   *
   * @param x {@code uint8 [n, ...]} pixels, scaled as the bundle says when they are fed; or {@code
   *     float32 [n, ...]}, fed as they are
   * @param y class indices, {@code n} of them; whole numbers of any size
   * @param name where the samples come from; used in messages
   * @throws DataException there are none, their shape is not the network's, a label is outside the
   *     classes, or a value is not finite
   */
  public static Dataset of(Tensor x, long[] y, String name, Manifest manifest)
      throws DataException {
    int[] expected = manifest.input().shape();
    int[] shape = x.shape();
    if (y.length == 0) {
      throw new DataException(
          name + ": holds no samples; give this client a part of the data or leave it out");
    }
    if (x.type() != DType.UINT8 && x.type() != DType.FLOAT32) {
      throw new DataException(
          name + ": x must be uint8 pixels or floating point, it is " + x.type().numpyName());
    }
    if (shape.length == 0 || shape[0] != y.length) {
      throw new DataException(
          name
              + ": "
              + (shape.length == 0 ? 0 : shape[0])
              + " samples in x, "
              + y.length
              + " labels in y");
    }
    int[] sample = Arrays.copyOfRange(shape, 1, shape.length);
    if (!Arrays.equals(sample, expected)) {
      throw new DataException(
          name
              + ": samples are "
              + Arrays.toString(sample)
              + ", the network takes "
              + Arrays.toString(expected));
    }
    int[] labels = labels(y, manifest.classes().size(), name);
    if (!x.isFinite()) {
      throw new DataException(name + ": x holds values that are not finite");
    }
    return new Dataset(x, labels, name);
  }

  /** How many samples there are. */
  public int size() {
    return y.length;
  }

  /** The samples: {@code uint8} or {@code float32}, the sample the first extent. */
  public Tensor x() {
    return x;
  }

  /** The class index of a sample. */
  public int label(int sample) {
    return y[sample];
  }

  /** How many different classes occur. */
  public int classesHeld() {
    return (int) Arrays.stream(y).distinct().count();
  }

  /** Where the samples come from. */
  public String name() {
    return name;
  }

  private static int[] labels(long[] y, int classes, String name) throws DataException {
    int[] labels = new int[y.length];
    int outside = 0;
    int first = -1;
    for (int row = 0; row < y.length; row++) {
      if (y[row] < 0 || y[row] >= classes) {
        first = outside++ == 0 ? row : first;
      } else {
        labels[row] = (int) y[row];
      }
    }
    if (outside > 0) {
      throw new DataException(
          String.format(
              Locale.ROOT,
              "%s: label %d of sample %d is outside 0..%d (%d such samples)",
              name,
              y[first],
              first,
              classes - 1,
              outside));
    }
    return labels;
  }
}
