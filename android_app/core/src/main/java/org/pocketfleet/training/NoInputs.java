package org.pocketfleet.training;

import java.util.AbstractMap;
import java.util.Collections;
import java.util.Map;
import java.util.Set;

/**
 * The inputs of a signature that takes none, such as {@code get}. TensorFlow Lite's Java interface
 * refuses a map that says it is empty, although it does nothing with one but go through its
 * entries.
 */
final class NoInputs extends AbstractMap<String, Object> {
  @Override
  public Set<Map.Entry<String, Object>> entrySet() {
    return Collections.emptySet();
  }

  @Override
  public boolean isEmpty() {
    return false;
  }
}
