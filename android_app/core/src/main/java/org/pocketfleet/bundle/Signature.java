package org.pocketfleet.bundle;

import java.util.Collections;
import java.util.List;
import java.util.Map;

/** One thing that a model can be asked to do. */
public final class Signature {
  private final Map<String, TensorSpec> inputs;
  private final Map<String, TensorSpec> outputs;
  private final List<String> updates;

  Signature(Map<String, TensorSpec> inputs, Map<String, TensorSpec> outputs, List<String> updates) {
    this.inputs = Collections.unmodifiableMap(inputs);
    this.outputs = Collections.unmodifiableMap(outputs);
    this.updates = Collections.unmodifiableList(updates);
  }

  /** What it takes, by name. */
  public Map<String, TensorSpec> inputs() {
    return inputs;
  }

  /** What it returns, by name. */
  public Map<String, TensorSpec> outputs() {
    return outputs;
  }

  /** Paths of the variables that it changes. */
  public List<String> updates() {
    return updates;
  }
}
