package org.pocketfleet.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import com.google.gson.JsonObject;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;

public class RoundLogTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  @Test
  public void whatWasDoneIsThereAfterARestart() throws Exception {
    RoundLog log = new RoundLog(folder.getRoot());
    assertTrue(log.last(9).isEmpty());
    Map<String, Object> metrics = new LinkedHashMap<>();
    metrics.put("train-loss", 0.5);
    metrics.put("steps", 12L);
    metrics.put("odd", Double.NaN);
    Reply reply = new Reply(metrics, Collections.singletonMap("runtime", "java"), null);
    log.add(task(1), 1.8e9, 2.5, reply, null, false);
    log.add(task(2), 1.8e9 + 9, 0, null, "declined: battery at 9 %", true);
    List<JsonObject> lines = new RoundLog(folder.getRoot()).last(9);
    assertEquals(
        "{\"time\":1.8E9,\"kind\":\"train\",\"round\":1,\"seconds\":2.5,"
            + "\"metrics\":{\"train-loss\":0.5,\"steps\":12},\"info\":{\"runtime\":\"java\"},\"declined\":false}",
        lines.get(0).toString());
    assertEquals("declined: battery at 9 %", lines.get(1).get("problem").getAsString());
    assertTrue(lines.get(1).get("declined").getAsBoolean());
    assertEquals(2, log.last(1).get(0).get("round").getAsInt());
  }

  @Test
  public void itStaysSmallAndKeepsTheNewest() throws Exception {
    RoundLog log = new RoundLog(folder.getRoot(), 4000);
    for (int round = 1; round <= 500; round++) {
      log.add(task(round), round, 1, null, "a \"problem\"\nof two lines", false);
      assertTrue(file().length() <= 4000);
    }
    List<JsonObject> lines = log.last(1000);
    assertTrue(lines.size() >= 10);
    for (int at = 0; at < lines.size(); at++) {
      int round = 500 - lines.size() + 1 + at;
      assertEquals(round, lines.get(at).get("round").getAsInt());
    }
  }

  @Test
  public void aLineThatACrashLeftUnfinishedHurtsNoOther() throws Exception {
    RoundLog log = new RoundLog(folder.getRoot());
    log.add(task(1), 1, 1, null, null, false);
    Files.write(
        file().toPath(),
        "{\"time\": 2, \"ki".getBytes(StandardCharsets.UTF_8),
        StandardOpenOption.APPEND);
    log.add(task(3), 3, 1, null, null, false);
    List<JsonObject> lines = log.last(9);
    assertEquals(2, lines.size());
    assertEquals(3, lines.get(1).get("round").getAsInt());
    assertFalse(lines.get(1).has("problem"));
  }

  private File file() {
    return new File(folder.getRoot(), RoundLog.FILE_NAME);
  }

  private static Task task(long round) {
    return new Task(
        Records.TRAIN,
        Collections.emptyMap(),
        Collections.singletonMap(Records.SERVER_ROUND, round));
  }
}
