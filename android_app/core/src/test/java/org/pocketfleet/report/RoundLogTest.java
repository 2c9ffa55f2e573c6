package org.pocketfleet.report;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.google.gson.JsonObject;
import java.io.File;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.client.Reply;
import org.pocketfleet.client.Task;

public class RoundLogTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  private static JsonObject number(int i) {
    JsonObject line = new JsonObject();
    line.addProperty("i", i);
    return line;
  }

  @Test
  public void fileStaysWithinItsLimit() throws Exception {
    File file = new File(folder.getRoot(), "lines.jsonl");
    JsonLines lines = new JsonLines(file, 1000);
    assertEquals(Collections.emptyList(), lines.last(5));
    for (int i = 0; i < 1000; i++) {
      lines.append(number(i));
    }
    assertTrue(file.length() <= 1000);
    assertTrue(new File(file.getPath() + ".1").length() <= 1000);
    List<JsonObject> last = lines.last(100);
    assertEquals(100, last.size());
    for (int i = 0; i < 100; i++) {
      assertEquals(900 + i, last.get(i).get("i").getAsInt());
    }
  }

  @Test
  public void lineCutShortByCrashIsPassedOver() throws Exception {
    File file = new File(folder.getRoot(), "lines.jsonl");
    JsonLines lines = new JsonLines(file, 1000);
    lines.append(number(1));
    try (FileOutputStream out = new FileOutputStream(file, true)) {
      out.write("{\"i\": 2, \"tex".getBytes(StandardCharsets.UTF_8));
    }
    lines.append(number(3));
    assertEquals("[{\"i\":1}, {\"i\":3}]", lines.last(5).toString());
  }

  @Test
  public void roundsAreNoted() throws Exception {
    JsonLines lines = new JsonLines(new File(folder.getRoot(), "rounds.jsonl"), 1000);
    RoundLog log = new RoundLog(lines, () -> 5, problem -> {});
    Map<String, Object> metrics = new LinkedHashMap<>();
    metrics.put("steps", 4L);
    metrics.put("train-loss", Double.NaN);
    metrics.put("energy-j", 1.5);
    Reply reply = new Reply(metrics, Collections.singletonMap("energy-method", "battery"), null);
    log.finished(task("query"), reply, null);
    log.finished(task("train"), reply, null);
    log.finished(task("train"), null, "no memory");
    assertEquals(
        "[{\"time-ms\":5,\"kind\":\"train\",\"round\":2,\"steps\":4,\"train-loss\":\"NaN\",\"energy-j\":1.5,"
            + "\"energy-method\":\"battery\"}, "
            + "{\"time-ms\":5,\"kind\":\"train\",\"round\":2,\"problem\":\"no memory\"}]",
        lines.last(9).toString());
  }

  @Test
  public void fullStorageIsToldAndSurvived() {
    JsonLines lines = new JsonLines(new File(folder.getRoot(), "absent/rounds.jsonl"), 1000);
    List<String> warnings = new ArrayList<>();
    new RoundLog(lines, () -> 5, warnings::add).finished(task("train"), null, "x");
    assertEquals(1, warnings.size());
  }

  private static Task task(String kind) {
    return new Task(kind, Collections.emptyMap(), Collections.singletonMap("server-round", 2L));
  }
}
