package org.pocketfleet.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.TestData;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.bundle.BundleException;
import org.pocketfleet.bundle.BundleStore;
import org.pocketfleet.data.DataException;
import org.pocketfleet.data.DataSource;
import org.pocketfleet.data.NpzData;
import org.pocketfleet.energy.BatteryState;
import org.pocketfleet.energy.Energy;
import org.pocketfleet.energy.EnergyMeter;
import org.pocketfleet.energy.ModelMeter;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.tensor.Codec;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.training.DivergedException;
import org.pocketfleet.training.TrainingException;
import org.pocketfleet.training.WeightsException;

public class WorkerTest {
  @Rule public final TemporaryFolder temporary = new TemporaryFolder();
  private final DataSource digits = new NpzData(TestData.file("digits.npz"));

  private WorkerSettings.Builder settings() {
    return WorkerSettings.builder("phone", digits).threads(1);
  }

  private static BundleStore whole() {
    return BundleStore.fixed(TestData.file("whole"), null);
  }

  private static Map<String, Tensor> initial(String name) throws Exception {
    return Bundle.load(TestData.file(name), null).initial();
  }

  private static Task train(Map<String, Tensor> weights, Object... plan) {
    Map<String, Object> config = new LinkedHashMap<>();
    for (int at = 0; at < plan.length; at += 2) {
      config.put((String) plan[at], plan[at + 1]);
    }
    return new Task(Records.TRAIN, weights, config);
  }

  private static Task query() {
    return new Task(Records.QUERY, Collections.emptyMap(), Collections.emptyMap());
  }

  @Test
  public void aQueryIsAnsweredWithFacts() throws Exception {
    Map<String, Object> more = Collections.singletonMap("battery", "full");
    try (Worker worker =
        Worker.open(whole(), settings().processor("gpu").facts(() -> more).build())) {
      Reply reply = worker.handle(query());
      assertEquals(77L, reply.metrics().get("num-examples"));
      Map<String, Object> facts = reply.info();
      assertEquals("phone", facts.get("name"));
      assertEquals("gpu", facts.get("processor"));
      assertEquals("generic", facts.get("profile"));
      assertEquals(10L, facts.get("classes-held"));
      assertEquals(whole().current().sha256(), facts.get("bundle"));
      assertEquals(false, facts.get("accepts-bundle"));
      assertEquals("whole", facts.get("model"));
      assertEquals("tensorflow-lite 2.16.1 (java)", facts.get("runtime"));
      assertEquals(1L, facts.get("threads"));
      assertEquals("full", facts.get("battery"));
      assertNull(reply.arrays());
    }
  }

  @Test
  public void aRoundIsTrainedAndMeasured() throws Exception {
    int[] heard = new int[2];
    WorkerSettings settings =
        settings()
            .meter(new ModelMeter(1, 2, "a test"))
            .onStep(
                (done, planned) -> {
                  heard[0] = done;
                  heard[1] = planned;
                })
            .build();
    try (Worker worker = Worker.open(whole(), settings)) {
      Map<String, Tensor> before = initial("whole");
      long start = System.nanoTime();
      Reply reply =
          worker.handle(
              train(before, "epochs", 2L, "learning-rate", 0.05, "seed", 3L, "server-round", 1L));
      double wallS = (System.nanoTime() - start) / 1e9;
      Set<String> expected =
          new LinkedHashSet<>(
              Arrays.asList(
                  ("num-examples examples-processed steps planned-steps train-loss train-s"
                          + " features-s prepare-s cpu-s peak-memory-bytes temperature-start-c"
                          + " temperature-end-c battery-start-percent battery-end-percent")
                      .split(" ", -1)));
      for (String phase :
          new String[] {"energy", "energy-download", "energy-wait", "previous-upload-energy"}) {
        for (String end : new String[] {"j", "idle-j", "rate-hz", "coverage", "uncertainty-j"}) {
          expected.add(phase + "-" + end);
        }
      }
      assertEquals(expected, reply.metrics().keySet());
      assertEquals(77L, reply.metrics().get("num-examples"));
      assertEquals(154L, reply.metrics().get("examples-processed"));
      assertEquals(10L, reply.metrics().get("steps"));
      assertEquals(10L, reply.metrics().get("planned-steps"));
      assertTrue((double) reply.metrics().get("train-loss") > 1);
      assertTrue((long) reply.metrics().get("peak-memory-bytes") > 1 << 20);
      double idleJ = (double) reply.metrics().get("energy-idle-j");
      assertTrue("a watt while it trains", (double) reply.metrics().get("train-s") <= idleJ + 1e-6);
      assertTrue("and not longer than the task took", idleJ <= wallS + 1e-6);
      assertTrue((double) reply.metrics().get("energy-j") >= idleJ);
      assertEquals(before.keySet(), reply.arrays().keySet());
      assertEquals(
          new LinkedHashSet<>(
              Arrays.asList(
                  ("name runtime energy-method energy-source energy-covers energy-flags"
                          + " temperature-source governor build")
                      .split(" ", -1))),
          reply.info().keySet());
      assertEquals("device", reply.info().get("energy-covers"));
      assertEquals(1.0, reply.metrics().get("energy-coverage"));
      assertEquals(-1.0, reply.metrics().get("energy-rate-hz"));
      assertEquals(-1.0, reply.metrics().get("temperature-start-c"));
      assertEquals("modelled", reply.info().get("energy-method"));
      assertEquals(
          "CPU time × 2.0 W per core + 1.0 W idle (a test)", reply.info().get("energy-source"));
      assertEquals(10, heard[0]);
      assertEquals(10, heard[1]);
    }
  }

  @Test
  public void theSameRoundIsTheSameWork() throws Exception {
    Task round = train(initial("whole"), "seed", 3L, "server-round", 7L);
    Map<String, Tensor> first;
    try (Worker worker = Worker.open(whole(), settings().build())) {
      first = worker.handle(round).arrays();
      assertEquals(
          first.get("conv1/kernel").data(),
          worker.handle(round).arrays().get("conv1/kernel").data());
    }
    try (Worker other = Worker.open(whole(), WorkerSettings.builder("tablet", digits).build())) {
      assertFalse(
          first
              .get("conv1/kernel")
              .data()
              .equals(other.handle(round).arrays().get("conv1/kernel").data()));
    }
    // zlib.crc32(b"3/7/phone"), as the Python client mixes it.
    assertEquals(3367031996L, Plan.seed(3, 7, "phone"));
  }

  @Test
  public void aCutRepliesWithWhatItTrained() throws Exception {
    Map<String, Tensor> weights = initial("whole");
    try (Worker worker = Worker.open(whole(), settings().build())) {
      Reply part = worker.handle(train(weights, "cut", "conv-2"));
      assertEquals(
          "[conv-2/kernel, conv-2/bias, logits/kernel, logits/bias]",
          part.arrays().keySet().toString());
      Reply all = worker.handle(train(weights, "cut", "conv-2", "reply-arrays", "all"));
      assertEquals(weights.keySet(), all.arrays().keySet());
      assertEquals(weights.get("conv1/kernel").data(), all.arrays().get("conv1/kernel").data());
    }
  }

  @Test
  public void stepsCountInsteadOfEpochs() throws Exception {
    try (Worker worker = Worker.open(whole(), settings().build())) {
      for (long steps : new long[] {3, 7}) {
        Reply reply = worker.handle(train(initial("whole"), "epochs", 50L, "steps", steps));
        assertEquals(steps, reply.metrics().get("steps"));
        assertEquals(steps, reply.metrics().get("planned-steps"));
      }
    }
  }

  @Test
  public void theVariablesAskedForComeBack() throws Exception {
    try (Worker worker = Worker.open(whole(), settings().build())) {
      String paths = "conv-2/kernel\nlogits/bias";
      Reply reply = worker.handle(train(initial("whole"), "reply-variables", paths));
      assertEquals("[conv-2/kernel, logits/bias]", reply.arrays().keySet().toString());
      Task wrong = train(initial("whole"), "reply-variables", "conv-9/kernel");
      says(worker, wrong, "no variable 'conv-9/kernel'");
    }
  }

  @Test
  public void ownWeightsAndWhatIsSentMakeTheStart() throws Exception {
    File folder = new File(temporary.getRoot(), "weights");
    Map<String, Tensor> sent =
        Collections.singletonMap("conv1/kernel", initial("whole").get("conv1/kernel"));
    Task second =
        train(sent, "run", "r", "server-round", 2L, "start-round", 1L, "keep-weights", true);
    Map<String, Tensor> expected;
    try (Worker worker = Worker.open(whole(), settings().localWeights(folder).build())) {
      assertEquals(true, worker.facts().get("keeps-weights"));
      Map<String, Tensor> start =
          new LinkedHashMap<>(
              worker
                  .handle(
                      train(initial("whole"), "run", "r", "server-round", 1L, "keep-weights", true))
                  .arrays());
      start.putAll(sent);
      expected = worker.handle(train(start, "run", "r", "server-round", 2L)).arrays();
    }
    // After a restart, and for a second try at the same round.
    try (Worker worker = Worker.open(whole(), settings().localWeights(folder).build())) {
      for (int time = 0; time < 2; time++) {
        Map<String, Tensor> found = worker.handle(second).arrays();
        expected.forEach((path, value) -> assertEquals(path, value.data(), found.get(path).data()));
      }
      assertEquals(2, folder.list().length);
      Task other = train(sent, "run", "s", "server-round", 2L, "start-round", 1L);
      Exception error = assertThrows(NoLocalWeightsException.class, () -> worker.handle(other));
      assertTrue(error.getMessage(), error.getMessage().contains("after round 1 of run 's'"));
    }
  }

  @Test
  public void aClientWithoutRoomForWeightsSaysSo() throws Exception {
    try (Worker worker = Worker.open(whole(), settings().build())) {
      assertEquals(false, worker.facts().get("keeps-weights"));
      Task keep = train(initial("whole"), "keep-weights", true);
      assertThrows(NoLocalWeightsException.class, () -> worker.handle(keep));
      Task from = train(initial("whole"), "start-round", 1L);
      assertThrows(NoLocalWeightsException.class, () -> worker.handle(from));
    }
  }

  @Test
  public void codedWeightsComeAndGo() throws Exception {
    Map<String, Codec.Spec> specs = new LinkedHashMap<>();
    initial("whole")
        .forEach((path, value) -> specs.put(path, new Codec.Spec(value.shape(), value.type())));
    try (Worker worker = Worker.open(whole(), settings().build())) {
      assertEquals("float32 float16 bfloat16 int8 clusters", worker.facts().get("codecs"));
      for (String codec : new String[] {"float16", "int8", "clusters16"}) {
        Map<String, Tensor> sent = Codec.of(codec).encode(initial("whole"), Collections.emptyMap());
        Map<String, Tensor> held = Codec.decode(sent, specs);
        Map<String, Tensor> plain = worker.handle(train(held)).arrays();
        Map<String, Tensor> coded =
            worker.handle(train(sent, "download-codec", codec, "upload-codec", codec)).arrays();
        Map<String, Tensor> expected = Codec.of(codec).encode(plain, held);
        assertEquals(expected.keySet(), coded.keySet());
        expected.forEach((name, part) -> assertEquals(name, part.data(), coded.get(name).data()));
      }
      says(worker, train(initial("whole"), "upload-codec", "int4"), "no codec 'int4'");
      says(worker, train(initial("whole"), "keep-weights", 1L), "keep-weights is 1");
    }
  }

  @Test
  public void evaluationTellsLossAndAccuracy() throws Exception {
    DataSource test = new NpzData(TestData.file("digits_deflated.npz"));
    try (Worker worker = Worker.open(whole(), settings().testData(test).build())) {
      Reply reply =
          worker.handle(new Task(Records.EVALUATE, initial("whole"), Collections.emptyMap()));
      assertEquals(
          Arrays.asList("num-examples", "eval-loss", "eval-accuracy", "evaluate-s", "energy-j"),
          new ArrayList<>(reply.metrics().keySet()).subList(0, 5));
      assertEquals(77L, reply.metrics().get("num-examples"));
      assertEquals(-1.0, reply.metrics().get("energy-j"));
      assertEquals("none", reply.info().get("energy-method"));
    }
  }

  @Test
  public void whatHappensAroundTheTaskIsMeasuredToo() throws Exception {
    double[] power = {0};
    EnergyMeter meter =
        new EnergyMeter() {
          @Override
          public void start() {}

          @Override
          public Energy stop() {
            String method = power[0] < 0 ? "modelled" : "battery";
            return new Energy(power[0], 1, method, "a gauge", "device")
                .sampled(2, power[0] / 10)
                .flagged("odd " + power[0]);
          }
        };
    double[] percent = {80};
    WorkerSettings settings =
        settings()
            .meter(meter)
            .build("client 1.2")
            .battery(() -> new BatteryState(percent[0]--, 31.5))
            .build();
    try (Worker worker = Worker.open(whole(), settings)) {
      power[0] = 3;
      worker.phase("wait");
      worker.phase("download");
      power[0] = -4;
      Reply reply =
          worker.handle(new Task(Records.QUERY, Collections.emptyMap(), Collections.emptyMap()));
      assertEquals("client 1.2", reply.info().get("build"));
      assertEquals(Collections.singleton("num-examples"), reply.metrics().keySet());
      worker.phase("upload");
      power[0] = 5;
      worker.phase("wait");
      power[0] = 7;
      worker.phase("download");
      power[0] = 9;
      reply = worker.handle(train(initial("whole")));
      Map<String, Object> metrics = reply.metrics();
      assertEquals(10.0, metrics.get("energy-wait-j"));
      assertEquals(2.0, metrics.get("energy-wait-idle-j"));
      assertEquals(9.0, metrics.get("energy-download-j"));
      assertEquals(0.9, metrics.get("energy-download-coverage"));
      assertEquals(2.0, metrics.get("energy-download-rate-hz"));
      assertEquals(-1.0, metrics.get("energy-download-uncertainty-j"));
      assertEquals(5.0, metrics.get("previous-upload-energy-j"));
      assertEquals(0.5, metrics.get("previous-upload-energy-coverage"));
      assertEquals(9.0, metrics.get("energy-j"));
      assertEquals(80.0, metrics.get("battery-start-percent"));
      assertEquals(79.0, metrics.get("battery-end-percent"));
      assertEquals(31.5, metrics.get("temperature-end-c"));
      assertEquals(
          "odd 9.0\ndownload: odd 9.0\nwait: odd 3.0\nwait: odd 7.0\nupload: odd 5.0",
          reply.info().get("energy-flags"));
      worker.phase("wait");
      power[0] = -4;
      worker.phase("download");
      power[0] = 9;
      reply = worker.handle(train(initial("whole")));
      assertEquals("of another method", -1.0, reply.metrics().get("energy-wait-j"));
      assertEquals(-1.0, reply.metrics().get("energy-wait-coverage"));
      assertEquals("of an earlier reply", -1.0, reply.metrics().get("previous-upload-energy-j"));
      assertEquals(
          "odd 9.0\ndownload: odd 9.0\nwait: left out, as it was modelled",
          reply.info().get("energy-flags"));
      worker.phase("upload");
      worker.phase("wait");
      reply =
          worker.handle(new Task(Records.QUERY, Collections.emptyMap(), Collections.emptyMap()));
      assertEquals(9.0, reply.metrics().get("previous-upload-energy-j"));
      assertEquals("battery", reply.info().get("energy-method"));
      assertEquals("upload: odd 9.0", reply.info().get("energy-flags"));
    }
  }

  @Test
  public void aMeterThatFailsIsSaid() throws Exception {
    EnergyMeter broken =
        new EnergyMeter() {
          @Override
          public void start() {}

          @Override
          public Energy stop() {
            return null;
          }
        };
    try (Worker worker = Worker.open(whole(), settings().meter(broken).build())) {
      Reply reply = worker.handle(train(initial("whole")));
      assertEquals(-1.0, reply.metrics().get("energy-j"));
      assertEquals(
          "the energy source failed during this interval", reply.info().get("energy-source"));
    }
  }

  @Test
  public void tasksThatMakeNoSenseAreRefusedInWords() throws Exception {
    Map<String, Tensor> weights = initial("whole");
    try (Worker worker = Worker.open(whole(), settings().build())) {
      says(worker, train(weights, "epochs", -1L), "epochs is -1; it has to be a whole number");
      says(worker, train(weights, "epochs", 1.5), "epochs is 1.5; it has to be a whole number");
      says(worker, train(weights, "epochs", 1L << 40), "epochs is 1099511627776");
      says(worker, train(weights, "learning-rate", "x"), "learning-rate is x; it has to be a");
      says(worker, train(weights, "learning-rate", Double.NaN), "learning-rate is NaN");
      says(worker, train(weights, "cutoff-s", -1.0), "cutoff-s is -1.0");
      says(worker, train(weights, "cut", 1L), "cut is 1; it has to be text");
      says(worker, train(weights, "cut", "conv9"), "has no cut 'conv9'");
      says(worker, train(weights, "reply-arrays", "none"), "reply-arrays is 'none'");
      says(worker, new Task("dance", weights, Collections.emptyMap()), "unknown kind of task");
      assertThrows(WeightsException.class, () -> worker.handle(train(Collections.emptyMap())));
      assertEquals(5L, worker.handle(train(weights)).metrics().get("steps"));
    }
  }

  @Test
  public void aLastStepThatSpoilsTheWeightsIsNoticed() throws Exception {
    try (Worker worker = Worker.open(whole(), settings().build())) {
      Map<String, Tensor> weights = new LinkedHashMap<>(initial("whole"));
      Tensor huge = Tensor.zeros(DType.FLOAT32, weights.get("logits/bias").shape());
      huge.data().putFloat(0, Float.MAX_VALUE);
      weights.put("logits/bias", huge);
      assertThrows(
          DivergedException.class,
          () -> worker.handle(train(weights, "epochs", 1L, "learning-rate", 1e38)));
    }
  }

  @Test
  public void theWorkerLivesOnWhenTheMemoryDoesNotSuffice() throws Exception {
    int[] failures = {1, 1};
    DataSource hungry =
        manifest -> {
          if (failures[0]-- == 0) {
            throw new OutOfMemoryError("Java heap space");
          }
          return digits.load(manifest);
        };
    WorkerSettings settings =
        WorkerSettings.builder("phone", hungry)
            .onStep(
                (done, planned) -> {
                  if (done == 3 && failures[1]-- > 0) {
                    throw new OutOfMemoryError("Failed to allocate 4000016 bytes");
                  }
                })
            .build();
    try (Worker worker = Worker.open(whole(), settings)) {
      Map<String, Tensor> weights = initial("whole");
      says(worker, train(weights), "has not enough memory for this train task (Failed to allocate");
      // Loading again fails, too, once.
      says(worker, train(weights), "(Java heap space)");
      Reply reply = worker.handle(train(weights));
      assertEquals(5L, reply.metrics().get("steps"));
      assertEquals(whole().current().sha256(), worker.facts().get("bundle"));
    }
  }

  @Test
  public void aWorkerStartsEmptyAndChangesOver() throws Exception {
    File directory = new File(temporary.getRoot(), "bundles");
    String key = TestData.text("trusted.pem");
    String sha256 = Bundle.load(TestData.file("head.zip"), null).sha256();
    try (Worker worker = Worker.open(new BundleStore(directory, key), settings().build())) {
      Map<String, Object> facts = worker.handle(query()).info();
      assertEquals("", facts.get("bundle"));
      assertEquals(true, facts.get("accepts-bundle"));
      assertEquals(0L, facts.get("num-examples"));
      says(worker, train(Collections.emptyMap()), "no bundle yet");
      assertThrows(BundleException.class, () -> worker.handle(bundle("altered-model.zip", sha256)));
      assertThrows(BundleException.class, () -> worker.handle(bundle("newer.zip", sha256)));
      assertEquals("", worker.facts().get("bundle"));
      Reply reply = worker.handle(bundle("head.zip", sha256));
      assertEquals(sha256, reply.info().get("bundle"));
      assertEquals(77L, reply.metrics().get("num-examples"));
      assertThrows(BundleException.class, () -> worker.handle(bundle("altered-model.zip", sha256)));
      assertEquals(5L, worker.handle(train(initial("head"))).metrics().get("steps"));
    }
    try (Worker worker = Worker.open(new BundleStore(directory, key), settings().build())) {
      assertEquals("head", worker.facts().get("model"));
    }
  }

  @Test
  public void aBundleThatDoesNotFitTheDataIsNotUsed() throws Exception {
    File directory = new File(temporary.getRoot(), "bundles");
    BundleStore store = new BundleStore(directory, TestData.text("trusted.pem"));
    String sha256 = Bundle.load(TestData.file("head.zip"), null).sha256();
    DataSource wrong = new NpzData(TestData.file("digits_shape.npz"));
    WorkerSettings settings = WorkerSettings.builder("phone", wrong).build();
    try (Worker worker = Worker.open(store, settings)) {
      assertThrows(DataException.class, () -> worker.handle(bundle("head.zip", sha256)));
      assertEquals("", worker.facts().get("bundle"));
      assertNull(store.current());
    }
  }

  @Test
  public void aWorkerWithItsOwnBundleTakesNoOther() throws Exception {
    try (Worker worker = Worker.open(whole(), settings().build())) {
      says(worker, bundle("head.zip", "00"), "bundle of its own and takes no other");
      assertEquals("whole", worker.facts().get("model"));
    }
  }

  @Test
  public void whatCannotBeUsedIsSaidAtOnce() {
    WorkerSettings nothing =
        WorkerSettings.builder("phone", new NpzData(new File("nowhere.npz"))).build();
    assertThrows(DataException.class, () -> Worker.open(whole(), nothing));
    BundleStore none = BundleStore.fixed(new File("nowhere"), null);
    assertThrows(BundleException.class, () -> Worker.open(none, settings().build()));
    assertThrows(IllegalArgumentException.class, () -> WorkerSettings.builder("", digits));
  }

  @Test
  public void anInterruptLeavesTheTask() throws Exception {
    WorkerSettings settings =
        settings().onStep((done, planned) -> Thread.currentThread().interrupt()).build();
    try (Worker worker = Worker.open(whole(), settings)) {
      Task task = train(initial("whole"));
      assertThrows(InterruptedException.class, () -> worker.handle(task));
      assertFalse(Thread.currentThread().isInterrupted());
      assertSame(Records.TRAIN, task.kind());
    }
  }

  private static Task bundle(String name, String sha256) throws Exception {
    ByteBuffer zip = TestData.bytes(name);
    Tensor tensor = new Tensor(DType.UINT8, new int[] {zip.remaining()}, zip);
    return new Task(
        Records.QUERY,
        Collections.singletonMap(Records.BUNDLE, tensor),
        Collections.singletonMap(Records.BUNDLE, sha256));
  }

  private static void says(Worker worker, Task task, String words) {
    Exception error = assertThrows(Exception.class, () -> worker.handle(task));
    assertTrue(error.getMessage(), error.getMessage().contains(words));
    assertTrue(
        error.toString(),
        error instanceof TaskException
            || error instanceof TrainingException
            || error instanceof BundleException);
  }
}
