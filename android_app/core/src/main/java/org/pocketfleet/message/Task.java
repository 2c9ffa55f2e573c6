package org.pocketfleet.message;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.pocketfleet.tensor.Tensor;

/** What the server asks of a client in one message. */
public final class Task {
  private final String kind;
  private final Map<String, Tensor> arrays;
  private final Map<String, Object> config;

  /**
   * Makes a task.
   *
   * @param kind one of the kinds in {@link Records}
   * @param arrays weights by Keras variable path; may be empty
   * @param config the plan: {@code Long}, {@code Double}, {@code String}, {@code Boolean} or {@code
   *     byte[]} by key
   */
  public Task(String kind, Map<String, Tensor> arrays, Map<String, Object> config) {
    this.kind = kind;
    this.arrays = Collections.unmodifiableMap(new LinkedHashMap<>(arrays));
    this.config = Collections.unmodifiableMap(new LinkedHashMap<>(config));
  }

  /** Which kind of task it is. */
  public String kind() {
    return kind;
  }

  /** Weights by Keras variable path. */
  public Map<String, Tensor> arrays() {
    return arrays;
  }

  /** The plan. */
  public Map<String, Object> config() {
    return config;
  }

  /** The round that the task says it belongs to; 0 where it does not say. */
  public long round() {
    Object value = config.get(Records.SERVER_ROUND);
    return value instanceof Long ? (Long) value : 0;
  }
}
