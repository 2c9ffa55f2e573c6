package org.pocketfleet.tensor;

import java.util.Arrays;

/**
 * k-means in one dimension, by Lloyd's algorithm on sorted values; the very numbers of {@code
 * model_export/k_means.py}. The start is linear over the range (Han et al. 2016, "Deep
 * Compression", section 3.2).
 */
final class KMeans {
  private static final int MOST_ROUNDS = 100;

  private final double[] ascending;
  private final double[] sums;
  private double[] centres;

  /** The values from which each cluster but the first begins, and the clusters that have any. */
  private double[] bounds;

  private int[] rank;

  /**
   * Clusters numbers.
   *
   * @param values at least one, all finite
   * @param clusters clusters to begin with; empty ones are dropped
   */
  KMeans(float[] values, int clusters) {
    ascending = new double[values.length];
    for (int place = 0; place < values.length; place++) {
      ascending[place] = values[place];
    }
    Arrays.sort(ascending);
    sums = new double[values.length + 1];
    for (int place = 0; place < values.length; place++) {
      sums[place + 1] = sums[place] + ascending[place];
    }
    centres = spread(ascending[0], ascending[values.length - 1], clusters);
    boolean moving = true;
    for (int round = 0; round < MOST_ROUNDS && moving; round++) {
      double[] moved = moved();
      moving = !Arrays.equals(moved, centres);
      centres = moved;
    }
  }

  /** The clusters' means, ascending. */
  float[] centres() {
    float[] narrow = new float[centres.length];
    for (int place = 0; place < narrow.length; place++) {
      narrow[place] = (float) centres[place];
    }
    return narrow;
  }

  /** Which cluster a value belongs to. */
  int indexOf(float value) {
    int low = 0;
    int high = bounds.length;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (bounds[middle] <= value) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return rank[low];
  }

  /** The means of what is nearest to each centre, half way between them the boundary. */
  private double[] moved() {
    bounds = new double[centres.length - 1];
    rank = new int[centres.length];
    double[] moved = new double[centres.length];
    int filled = 0;
    int start = 0;
    for (int cluster = 0; cluster < centres.length; cluster++) {
      int end = ascending.length;
      if (cluster < bounds.length) {
        bounds[cluster] = (centres[cluster + 1] + centres[cluster]) / 2;
        end = firstFrom(bounds[cluster]);
      }
      rank[cluster] = filled;
      if (end > start) {
        moved[filled++] = (sums[end] - sums[start]) / (end - start);
      }
      start = end;
    }
    return Arrays.copyOf(moved, filled);
  }

  /** How many values are below one. */
  private int firstFrom(double bound) {
    int low = 0;
    int high = ascending.length;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (ascending[middle] < bound) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** Different numbers at equal distances, as NumPy computes them. */
  private static double[] spread(double least, double most, int count) {
    if (least == most) {
      return new double[] {least};
    }
    double[] places = new double[count];
    double step = (most - least) / (count - 1);
    for (int place = 0; place < count; place++) {
      places[place] = place * step + least;
    }
    places[count - 1] = most;
    int different = 1;
    Arrays.sort(places);
    for (int place = 1; place < count; place++) {
      if (places[place] != places[different - 1]) {
        places[different++] = places[place];
      }
    }
    return Arrays.copyOf(places, different);
  }
}
