package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.bundle.BundleSignatureException;
import org.pocketfleet.client.Worker;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.tensor.SafeTensors;
import org.pocketfleet.tensor.Tensor;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;

/** Trains for real on TensorFlow Lite, with what the app hands to the worker. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = {26, 34})
public class TrainingTest {
  @Rule public final Phone phone = new Phone();

  private static File file(String name) {
    return new File(System.getProperty("pocketfleet.testData"), name);
  }

  private static String text(String name) throws Exception {
    return new String(Files.readAllBytes(file(name).toPath()), StandardCharsets.UTF_8);
  }

  private Settings settings(String bundle, String trust) throws Exception {
    Settings.Builder builder = phone.configured().change();
    builder.bundle = file(bundle).getPath();
    builder.trust = text(trust);
    builder.data = file("digits.npz").getPath();
    builder.name = "rack 3";
    return builder.build();
  }

  private FleetRun run(Settings settings) {
    return new FleetRun(phone.app, settings, Fleet.get().board());
  }

  @Test
  public void trainsAndTellsWhatItIs() throws Exception {
    phone.power(true, 80);
    Map<String, Tensor> weights =
        SafeTensors.read(
            ByteBuffer.wrap(Files.readAllBytes(file("head/initial.safetensors").toPath())));
    try (Worker worker = run(settings("head.zip", "trusted.pem")).worker()) {
      Map<String, Object> facts =
          worker.handle(new Task("query", Collections.emptyMap(), Collections.emptyMap())).info();
      assertEquals("rack 3", facts.get("name"));
      assertTrue(facts.get("system").toString().startsWith("Android "));
      assertEquals(77L, facts.get("num-examples"));
      double[] loss = new double[3];
      for (int round = 0; round < 3; round++) {
        Map<String, Object> plan = new HashMap<>();
        plan.put("server-round", (long) round);
        plan.put("learning-rate", 0.1);
        Reply reply = worker.handle(new Task("train", weights, plan));
        loss[round] = (Double) reply.metrics().get("train-loss");
        assertEquals(5L, reply.metrics().get("steps"));
        assertEquals("modelled", reply.info().get("energy-method"));
        String flags = reply.info().get("energy-flags").toString();
        assertTrue(flags, flags.startsWith("not the battery: the device was charging"));
        assertEquals("device", reply.info().get("energy-covers"));
        assertFalse(reply.info().get("build").toString().isEmpty());
        weights = new HashMap<>(weights);
        weights.putAll(reply.arrays());
      }
      assertTrue(loss[0] + " " + loss[2], loss[2] < loss[0]);
    }
  }

  @Test
  public void whatIsNotSignedByTheInvitationsKeyIsRefusedInWords() throws Exception {
    String[][] rows = {
      {"unsigned.zip", "trusted.pem"},
      {"head.zip", "other.pem"},
      {"altered-model.zip", "trusted.pem"},
      {"newer.zip", "trusted.pem"},
    };
    for (String[] row : rows) {
      PocketfleetException error =
          assertThrows(
              row[0],
              PocketfleetException.class,
              () -> {
                try (Worker unused = run(settings(row[0], row[1])).worker()) {
                  assertEquals("used", row[0]);
                }
              });
      assertTrue(Words.of(error), Words.of(error).startsWith("The model is not used: "));
    }
    assertThrows(
        BundleSignatureException.class,
        () -> {
          try (Worker unused = run(settings("head.zip", "other.pem")).worker()) {
            assertEquals("used", "");
          }
        });
  }

  @Test
  public void waitsForABundleFromTheServer() throws Exception {
    Settings.Builder none = settings("head.zip", "trusted.pem").change();
    none.bundle = "";
    try (Worker worker = run(none.build()).worker()) {
      Map<String, Object> facts =
          worker.handle(new Task("query", Collections.emptyMap(), Collections.emptyMap())).info();
      assertEquals("", facts.get("bundle"));
      assertEquals(true, facts.get("accepts-bundle"));
    }
  }
}
