package org.pocketfleet.data;

/**
 * In which order local training takes the samples. Every epoch is a permutation that depends on
 * seed and epoch alone, and is the one that the Python client takes.
 */
public final class BatchOrder {
  private final long seed;
  private final int[] order;

  /**
   * Makes an order.
   *
   * @param seed natural number
   * @param count how many samples there are
   */
  public BatchOrder(long seed, int count) {
    if (seed < 0) {
      throw new IllegalArgumentException("the seed is negative: " + seed);
    }
    this.seed = seed;
    this.order = new int[count];
  }

  /**
   * The samples' indices in the order of an epoch.
   *
   * @return an array that the next call uses again
   */
  public int[] epoch(int epoch) {
    NumpyRandom random = new NumpyRandom(seed, epoch);
    for (int at = 0; at < order.length; at++) {
      order[at] = at;
    }
    for (int at = order.length - 1; at > 0; at--) {
      int other = random.upTo(at);
      int index = order[at];
      order[at] = order[other];
      order[other] = index;
    }
    return order;
  }
}
