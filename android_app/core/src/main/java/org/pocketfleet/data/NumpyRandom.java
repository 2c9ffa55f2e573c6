package org.pocketfleet.data;

import java.util.Arrays;

/**
 * The random numbers of NumPy's {@code Generator(PCG64(entropy))}, so that Java and Python clients
 * do the same work for the same seed.
 *
 * <p>Two published algorithms: the seeding is M. E. O'Neill's alternative to {@code seed_seq}
 * (2015, as NumPy's {@code SeedSequence} does it), the generator her PCG XSL RR 128/64 ("PCG: A
 * Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number
 * Generation", 2014). Bounded numbers are drawn as NumPy's {@code shuffle} draws them: as many bits
 * as needed, again if they are too large. NumPy promises that a bit generator's stream never
 * changes; a test compares the permutations.
 */
final class NumpyRandom {
  private static final long LOW_32 = 0xffffffffL;

  // The generator's multiplier, 0x2360ed051fc65da44385df649fccf645.
  private static final long MULTIPLIER_HIGH = 0x2360ed051fc65da4L;
  private static final long MULTIPLIER_LOW = 0x4385df649fccf645L;

  private long stateHigh;
  private long stateLow;
  private final long incrementHigh;
  private final long incrementLow;
  private boolean hasHalf;
  private int half;

  /** Seeds a generator as {@code PCG64([entropy...])} does; no number is negative. */
  NumpyRandom(long... entropy) {
    int[] words = new SeedPool(entropy).words(8);
    long startHigh = (words[0] & LOW_32) | ((long) words[1] << 32);
    long startLow = (words[2] & LOW_32) | ((long) words[3] << 32);
    long streamHigh = (words[4] & LOW_32) | ((long) words[5] << 32);
    long streamLow = (words[6] & LOW_32) | ((long) words[7] << 32);
    incrementHigh = (streamHigh << 1) | (streamLow >>> 63);
    incrementLow = (streamLow << 1) | 1;
    advance();
    stateLow += startLow;
    stateHigh += startHigh + carry(stateLow, startLow);
    advance();
  }

  /** A whole number from 0 to {@code most}, each as likely as the other. */
  int upTo(int most) {
    if (most == 0) {
      return 0;
    }
    int mask = -1 >>> Integer.numberOfLeadingZeros(most);
    int number = nextInt() & mask;
    while (number > most) {
      number = nextInt() & mask;
    }
    return number;
  }

  /** The next 32 bits: the lower half of the next 64, then their upper half. */
  private int nextInt() {
    if (hasHalf) {
      hasHalf = false;
      return half;
    }
    advance();
    long bits = Long.rotateRight(stateHigh ^ stateLow, (int) (stateHigh >>> 58));
    hasHalf = true;
    half = (int) (bits >>> 32);
    return (int) bits;
  }

  /** state = state * multiplier + increment, in 128 bits. */
  private void advance() {
    long high =
        unsignedMultiplyHigh(stateLow, MULTIPLIER_LOW)
            + stateHigh * MULTIPLIER_LOW
            + stateLow * MULTIPLIER_HIGH;
    long low = stateLow * MULTIPLIER_LOW;
    stateLow = low + incrementLow;
    stateHigh = high + incrementHigh + carry(stateLow, incrementLow);
  }

  private static int carry(long sum, long addend) {
    return Long.compareUnsigned(sum, addend) < 0 ? 1 : 0;
  }

  /** The upper 64 of the 128 bits of a product. */
  private static long unsignedMultiplyHigh(long a, long b) {
    long aLow = a & LOW_32;
    long aHigh = a >>> 32;
    long bLow = b & LOW_32;
    long bHigh = b >>> 32;
    long middle = aHigh * bLow + ((aLow * bLow) >>> 32);
    long other = aLow * bHigh + (middle & LOW_32);
    return aHigh * bHigh + (middle >>> 32) + (other >>> 32);
  }

  /** Four words that every bit of the entropy has gone into. */
  private static final class SeedPool {
    private static final int WORDS = 4;
    private final int[] pool = new int[WORDS];
    private int hash = 0x43b0d7e5;

    SeedPool(long[] entropy) {
      int[] words = split(entropy);
      for (int at = 0; at < WORDS; at++) {
        pool[at] = hashed(at < words.length ? words[at] : 0);
      }
      for (int from = 0; from < WORDS; from++) {
        for (int to = 0; to < WORDS; to++) {
          if (from != to) {
            pool[to] = mixed(pool[to], hashed(pool[from]));
          }
        }
      }
      for (int from = WORDS; from < words.length; from++) {
        for (int to = 0; to < WORDS; to++) {
          pool[to] = mixed(pool[to], hashed(words[from]));
        }
      }
    }

    int[] words(int count) {
      int[] words = new int[count];
      int constant = 0x8b51f9dd;
      for (int at = 0; at < count; at++) {
        int word = pool[at % WORDS] ^ constant;
        constant *= 0x58f38ded;
        word *= constant;
        words[at] = word ^ (word >>> 16);
      }
      return words;
    }

    private int hashed(int word) {
      int value = word ^ hash;
      hash *= 0x931e8875;
      value *= hash;
      return value ^ (value >>> 16);
    }

    private static int mixed(int one, int other) {
      int value = 0xca01f9dd * one - 0x4973f715 * other;
      return value ^ (value >>> 16);
    }

    /** Each number as its 32-bit words, the lowest first; a second one only where it is needed. */
    private static int[] split(long[] numbers) {
      int[] words = new int[2 * numbers.length];
      int count = 0;
      for (long number : numbers) {
        words[count++] = (int) number;
        if (number >>> 32 != 0) {
          words[count++] = (int) (number >>> 32);
        }
      }
      return Arrays.copyOf(words, count);
    }
  }
}
