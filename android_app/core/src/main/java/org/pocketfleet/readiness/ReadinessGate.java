package org.pocketfleet.readiness;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.function.LongSupplier;
import org.pocketfleet.client.Gate;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Task;
import org.pocketfleet.report.JsonLines;

/**
 * Lets a task through when the device's conditions satisfy a policy, and keeps a record of every
 * decision. Questions of the server are always answered: they cost nothing, and tell it that the
 * device is there.
 */
public final class ReadinessGate implements Gate {
  /** Reads what the device is like right now. */
  public interface Source {
    /** Reads it. */
    Conditions read();
  }

  private final ReadinessPolicy policy;
  private final Source source;
  private final JsonLines record;
  private final LongSupplier clockMs;
  private Decision last = Decision.ALLOWED;

  /**
   * Makes a gate.
   *
   * @param policy the thresholds
   * @param source where conditions come from
   * @param record where decisions go; null: nowhere
   * @param clockMs milliseconds since the epoch, for the record
   */
  public ReadinessGate(
      ReadinessPolicy policy, Source source, JsonLines record, LongSupplier clockMs) {
    this.policy = policy;
    this.source = source;
    this.record = record;
    this.clockMs = clockMs;
  }

  @Override
  public String objection(Task task) {
    if (Records.QUERY.equals(task.kind())) {
      return null;
    }
    Decision decision = decide(task.kind() + " of round " + task.round());
    return decision.allowed() ? null : decision.words();
  }

  /**
   * Judges the device now, and records it.
   *
   * @param what what the decision is about, for the record
   */
  public synchronized Decision decide(String what) {
    Conditions now = source.read();
    last = policy.decide(now, last);
    if (record != null) {
      try {
        record.append(line(what, now, last));
      } catch (IOException ignored) {
        // A device whose storage is full still has to decide; the policy looks at the storage.
      }
    }
    return last;
  }

  private JsonObject line(String what, Conditions now, Decision decision) {
    JsonObject line = new JsonObject();
    line.addProperty("time-ms", clockMs.getAsLong());
    line.addProperty("what", what);
    line.addProperty("allowed", decision.allowed());
    JsonArray reasons = new JsonArray();
    for (Reason reason : decision.reasons()) {
      reasons.add(reason.key());
    }
    line.add("reasons", reasons);
    known(line, "battery-percent", now.batteryPercent());
    line.addProperty("charging", now.charging());
    known(line, "battery-temperature-c", now.batteryTemperatureC());
    known(line, "thermal-status", now.thermalStatus() < 0 ? Double.NaN : now.thermalStatus());
    line.addProperty("online", now.online());
    line.addProperty("unmetered", now.unmetered());
    line.addProperty("interactive", now.interactive());
    line.addProperty("battery-saver", now.batterySaver());
    known(line, "free-bytes", now.freeBytes() < 0 ? Double.NaN : now.freeBytes());
    return line;
  }

  /** JSON has no NaN: what is not known is not there. */
  private static void known(JsonObject line, String key, double value) {
    if (value == Math.rint(value)) {
      line.addProperty(key, (long) value);
    } else if (!Double.isNaN(value)) {
      line.addProperty(key, value);
    }
  }
}
