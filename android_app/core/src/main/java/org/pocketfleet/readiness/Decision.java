package org.pocketfleet.readiness;

import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;
import java.util.Set;

/** Whether a device may work now, and if not, why. */
public final class Decision {
  /** It may, and there was no objection before. */
  public static final Decision ALLOWED = new Decision(new EnumMap<>(Reason.class));

  private final Map<Reason, String> reasons;

  Decision(Map<Reason, String> reasons) {
    this.reasons = Collections.unmodifiableMap(reasons);
  }

  /** Whether nothing speaks against it. */
  public boolean allowed() {
    return reasons.isEmpty();
  }

  /** What speaks against it. */
  public Set<Reason> reasons() {
    return reasons.keySet();
  }

  /** All that speaks against it in one line for people; empty if nothing does. */
  public String words() {
    return String.join("; ", reasons.values());
  }

  @Override
  public String toString() {
    return allowed() ? "allowed" : words();
  }
}
