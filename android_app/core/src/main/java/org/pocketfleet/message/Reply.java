package org.pocketfleet.message;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.pocketfleet.tensor.Tensor;

/** What a client answers: numbers, words about the numbers, and weights by variable path. */
public final class Reply {
  private final Map<String, Object> metrics;
  private final Map<String, Object> info;
  private final Map<String, Tensor> arrays;

  /**
   * Makes a reply.
   *
   * @param metrics {@code Long} or {@code Double} by key
   * @param info {@code Long}, {@code Double}, {@code String} or {@code Boolean} by key
   * @param arrays weights by Keras variable path; null: the reply has none
   */
  public Reply(Map<String, Object> metrics, Map<String, Object> info, Map<String, Tensor> arrays) {
    this.metrics = Collections.unmodifiableMap(new LinkedHashMap<>(metrics));
    this.info = Collections.unmodifiableMap(new LinkedHashMap<>(info));
    this.arrays = arrays == null ? null : Collections.unmodifiableMap(new LinkedHashMap<>(arrays));
  }

  /** Numbers by key. */
  public Map<String, Object> metrics() {
    return metrics;
  }

  /** Words about the numbers, by key. */
  public Map<String, Object> info() {
    return info;
  }

  /** Weights by variable path, or null. */
  public Map<String, Tensor> arrays() {
    return arrays;
  }
}
