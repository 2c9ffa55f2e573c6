package org.pocketfleet.readiness;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import com.google.gson.JsonObject;
import java.io.File;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.message.Task;
import org.pocketfleet.report.JsonLines;

public class ReadinessTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  private static Conditions.Builder good() {
    return new Conditions.Builder()
        .batteryPercent(80)
        .charging(true)
        .batteryTemperatureC(30)
        .thermalStatus(0)
        .network(true, true)
        .freeBytes(1L << 30);
  }

  private static Task task(String kind) {
    return new Task(kind, Collections.emptyMap(), Collections.singletonMap("server-round", 3L));
  }

  /** Each condition, by name: what it changes of a good device, and the objection; null: none. */
  private static Map<String, Reason> cases(Map<String, Conditions.Builder> devices) {
    Map<String, Reason> expected = new LinkedHashMap<>();
    put(devices, expected, "all well", good(), null);
    put(
        devices,
        expected,
        "nothing known",
        new Conditions.Builder().charging(true).network(true, true),
        null);
    put(devices, expected, "unplugged", good().charging(false), Reason.NOT_CHARGING);
    put(devices, expected, "empty", good().batteryPercent(29), Reason.BATTERY_LOW);
    put(devices, expected, "just enough", good().batteryPercent(30), null);
    put(devices, expected, "saving", good().batterySaver(true), Reason.BATTERY_SAVER);
    put(devices, expected, "warm", good().batteryTemperatureC(40), null);
    put(devices, expected, "hot", good().batteryTemperatureC(40.5), Reason.BATTERY_HOT);
    put(devices, expected, "moderate", good().thermalStatus(2), null);
    put(devices, expected, "severe", good().thermalStatus(3), Reason.DEVICE_HOT);
    put(devices, expected, "offline", good().network(false, true), Reason.OFFLINE);
    put(devices, expected, "metered", good().network(true, false), Reason.METERED);
    put(devices, expected, "full", good().freeBytes(100L << 20), Reason.STORAGE_LOW);
    put(devices, expected, "used", good().interactive(true), Reason.IN_USE);
    return expected;
  }

  private static void put(
      Map<String, Conditions.Builder> devices,
      Map<String, Reason> expected,
      String name,
      Conditions.Builder device,
      Reason reason) {
    devices.put(name, device);
    expected.put(name, reason);
  }

  @Test
  public void eachConditionIsJudged() {
    ReadinessPolicy policy = new ReadinessPolicy.Builder().idleOnly(true).build();
    Map<String, Conditions.Builder> devices = new LinkedHashMap<>();
    Map<String, Reason> expected = cases(devices);
    for (Map.Entry<String, Reason> each : expected.entrySet()) {
      Conditions now = devices.get(each.getKey()).build();
      Decision decision = policy.decide(now, Decision.ALLOWED);
      Reason reason = each.getValue();
      assertEquals(
          each.getKey(),
          reason == null ? Collections.emptySet() : Collections.singleton(reason),
          decision.reasons());
      assertEquals(each.getKey(), reason == null, decision.words().isEmpty());
    }
  }

  @Test
  public void whatThePolicyDoesNotAskForIsNoObjection() {
    ReadinessPolicy policy =
        new ReadinessPolicy.Builder()
            .chargingOnly(false)
            .unmeteredOnly(false)
            .respectBatterySaver(false)
            .minBatteryPercent(0)
            .build();
    Conditions tired =
        good()
            .charging(false)
            .network(true, false)
            .batterySaver(true)
            .interactive(true)
            .batteryPercent(1)
            .build();
    assertTrue(policy.decide(tired, Decision.ALLOWED).allowed());
  }

  @Test
  public void thresholdsHaveTwoSides() {
    double[][] rows = {
      // battery %, battery °C, thermal status, free MB, allowed after a refusal?
      {34, 37, 1, 300, 0},
      {35, 37, 1, 300, 1},
      {35, 38.5, 1, 300, 0},
      {35, 38, 1, 300, 1},
      {35, 38, 2, 300, 0},
      {35, 38, 1, 210, 0},
      {35, 38, 1, 221, 1},
    };
    ReadinessPolicy policy = ReadinessPolicy.DEFAULT;
    Conditions bad =
        good()
            .batteryPercent(10)
            .batteryTemperatureC(45)
            .thermalStatus(4)
            .freeBytes(1 << 20)
            .build();
    Decision refused = policy.decide(bad, Decision.ALLOWED);
    assertEquals(4, refused.reasons().size());
    for (double[] row : rows) {
      Conditions now =
          good()
              .batteryPercent(row[0])
              .batteryTemperatureC(row[1])
              .thermalStatus((int) row[2])
              .freeBytes((long) row[3] << 20)
              .build();
      assertTrue(policy.decide(now, Decision.ALLOWED).allowed());
      assertEquals(row[4] == 1, policy.decide(now, refused).allowed());
    }
  }

  @Test
  public void highThresholdCanStillBeReached() {
    ReadinessPolicy policy =
        new ReadinessPolicy.Builder().minBatteryPercent(98).maxThermalStatus(0).build();
    Decision refused =
        policy.decide(good().batteryPercent(50).thermalStatus(1).build(), Decision.ALLOWED);
    assertFalse(refused.allowed());
    assertTrue(policy.decide(good().batteryPercent(100).build(), refused).allowed());
  }

  @Test
  public void gateAnswersQuestionsAndRefusesWork() throws Exception {
    JsonLines record = new JsonLines(new File(folder.getRoot(), "decisions.jsonl"), 10_000);
    Conditions[] now = {good().charging(false).thermalStatus(-1).build()};
    ReadinessGate gate = new ReadinessGate(ReadinessPolicy.DEFAULT, () -> now[0], record, () -> 7);
    assertNull(gate.objection(task("query")));
    assertEquals("the device is not charging", gate.objection(task("train")));
    assertEquals("the device is not charging", gate.objection(task("evaluate")));
    now[0] = good().build();
    assertNull(gate.objection(task("train")));
    List<JsonObject> lines = record.last(10);
    assertEquals(3, lines.size());
    assertEquals(
        "{\"time-ms\":7,\"what\":\"train of round 3\",\"allowed\":false,\"reasons\":[\"not-charging\"],"
            + "\"battery-percent\":80,\"charging\":false,\"battery-temperature-c\":30,\"online\":true,"
            + "\"unmetered\":true,\"interactive\":false,\"battery-saver\":false,\"free-bytes\":1073741824}",
        lines.get(0).toString());
    assertTrue(lines.get(2).get("allowed").getAsBoolean());
  }

  @Test
  public void gateDecidesThoughItCannotWrite() {
    JsonLines nowhere = new JsonLines(new File(folder.getRoot(), "absent/decisions.jsonl"), 100);
    ReadinessGate gate =
        new ReadinessGate(ReadinessPolicy.DEFAULT, () -> good().build(), nowhere, () -> 0);
    assertNull(gate.objection(task("train")));
  }
}
