package org.pocketfleet.client;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.zip.CRC32;
import org.pocketfleet.message.Records;
import org.pocketfleet.tensor.Codec;
import org.pocketfleet.training.FitOptions;

/** What a task's config asks for, checked; what is missing has its default. */
final class Plan {
  private static final double DEFAULT_LEARNING_RATE = 0.01;
  private static final String TRAINED = "trained";
  private static final String ALL = "all";

  private final Map<String, Object> config;

  Plan(Map<String, Object> config) {
    this.config = config;
  }

  /**
   * How to train.
   *
   * @param name of the device; the same round of the same run is the same work, whichever process
   *     does it
   * @throws TaskException a value makes no sense; the message names the key
   */
  FitOptions fitOptions(String name, boolean cacheFeatures) throws TaskException {
    String cut = text(Records.CUT, "");
    long epochs = whole(Records.EPOCHS, 1);
    if (epochs > Integer.MAX_VALUE) {
      throw new TaskException(Records.EPOCHS + " is " + epochs + "; that is too many");
    }
    long steps = whole(Records.STEPS, 0);
    if (steps > Integer.MAX_VALUE) {
      throw new TaskException(Records.STEPS + " is " + steps + "; that is too many");
    }
    double learningRate = number(Records.LEARNING_RATE, DEFAULT_LEARNING_RATE);
    double mu = number(Records.PROXIMAL_MU, 0);
    double cutoffS = number(Records.CUTOFF_S, 0);
    return FitOptions.of((int) epochs, learningRate)
        .steps((int) steps)
        .cut(cut)
        .mu(mu)
        .cutoffSeconds(cutoffS)
        .seed(seed(whole(Records.SEED, 0), whole(Records.SERVER_ROUND, 0), name))
        .cacheFeatures(cacheFeatures)
        .build();
  }

  /**
   * Whether all variables are to come back, and not only the trained ones.
   *
   * @throws TaskException it is neither
   */
  boolean replyAll() throws TaskException {
    String which = text(Records.REPLY_ARRAYS, TRAINED);
    if (!which.equals(TRAINED) && !which.equals(ALL)) {
      throw new TaskException(
          String.format(
              Locale.ROOT,
              "%s is '%s'; it may be '%s' or '%s'",
              Records.REPLY_ARRAYS,
              which,
              TRAINED,
              ALL));
    }
    return which.equals(ALL);
  }

  /**
   * The variables to send back; empty: {@link #replyAll} decides.
   *
   * @throws TaskException it is no text
   */
  List<String> replyVariables() throws TaskException {
    String paths = text(Records.REPLY_VARIABLES, "");
    return paths.isEmpty() ? Collections.emptyList() : Arrays.asList(paths.split("\n", -1));
  }

  /** The server's name of the run. */
  String run() throws TaskException {
    return text(Records.RUN, "");
  }

  /** The round's number. */
  long round() throws TaskException {
    return whole(Records.SERVER_ROUND, 0);
  }

  /** Whether training starts from the client's own weights, and what it is sent. */
  boolean startsFromOwn() {
    return config.containsKey(Records.START_ROUND);
  }

  /** The round after which the client's own weights are the start. */
  long startRound() throws TaskException {
    return whole(Records.START_ROUND, 0);
  }

  /** Whether the weights are to be kept for a later start. */
  boolean keepWeights() throws TaskException {
    Object value =
        config.containsKey(Records.KEEP_WEIGHTS) ? config.get(Records.KEEP_WEIGHTS) : false;
    if (!(value instanceof Boolean)) {
      throw wrong(Records.KEEP_WEIGHTS, value, "true or false");
    }
    return (Boolean) value;
  }

  /**
   * How arrays hold numbers.
   *
   * @param key of either direction
   */
  Codec codec(String key) throws TaskException {
    try {
      return Codec.of(text(key, "float32"));
    } catch (IllegalArgumentException unknown) {
      throw new TaskException(key + ": " + unknown.getMessage(), unknown);
    }
  }

  /** A text. */
  String text(String key, String byDefault) throws TaskException {
    Object value = config.containsKey(key) ? config.get(key) : byDefault;
    if (!(value instanceof String)) {
      throw wrong(key, value, "text");
    }
    return (String) value;
  }

  /** Mixes a device's name into the round's seed. */
  static long seed(long seed, long round, String name) {
    CRC32 crc = new CRC32();
    crc.update((seed + "/" + round + "/" + name).getBytes(StandardCharsets.UTF_8));
    return crc.getValue();
  }

  private double number(String key, double byDefault) throws TaskException {
    Object value = config.containsKey(key) ? config.get(key) : (Object) byDefault;
    if (value instanceof Long || value instanceof Double) {
      double number = ((Number) value).doubleValue();
      if (number >= 0 && !Double.isInfinite(number)) {
        return number;
      }
    }
    throw wrong(key, value, "a number, not negative");
  }

  private long whole(String key, long byDefault) throws TaskException {
    Object value = config.containsKey(key) ? config.get(key) : (Object) byDefault;
    if (!(value instanceof Long) || (Long) value < 0) {
      throw wrong(key, value, "a whole number, not negative");
    }
    return (Long) value;
  }

  private static TaskException wrong(String key, Object value, String wanted) {
    String shown = value instanceof byte[] ? "bytes" : String.valueOf(value);
    return new TaskException(key + " is " + shown + "; it has to be " + wanted);
  }
}
