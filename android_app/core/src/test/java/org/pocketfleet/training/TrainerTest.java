package org.pocketfleet.training;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Test;
import org.pocketfleet.TestData;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.data.Dataset;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;

public class TrainerTest {
  /**
   * Rounding makes runtimes differ in the last digits; twenty steps with momentum amplify that.
   * Another order of samples or a wrong update changes the third digit (see {@code
   * tests/java_trainer_test.py} for where the limit comes from).
   */
  private static final double TOLERANCE = 1e-5;

  private static final StepListener QUIET = (done, planned) -> {};

  @Test
  public void twentyStepsGiveWhatPythonGets() throws Exception {
    for (TrainingCase one : TrainingCase.all()) {
      try (Trainer trainer = one.trainer()) {
        Dataset data = one.data();
        FitResult result = trainer.fit(data, one.options().build(), QUIET);
        assertEquals(one.name, 20, result.steps());
        assertEquals(one.name, 4 * 77, result.examplesProcessed());
        assertEquals(one.name, one.number("loss"), result.loss(), 1e-4);
        assertEquals(one.trained(), trainer.trained(one.options().build().cut()));
        double difference = TrainingCase.difference(trainer.weights(), one.expected());
        assertTrue(one.name + ": " + difference, difference < TOLERANCE);
        Evaluation evaluation = trainer.evaluate(data);
        assertEquals(one.name, one.number("eval_loss"), evaluation.loss(), 1e-4);
        assertEquals(one.name, one.number("eval_accuracy"), evaluation.accuracy(), 1e-9);
      }
    }
  }

  @Test
  public void anotherSeedIsAnotherResult() throws Exception {
    TrainingCase one = TrainingCase.named("whole");
    try (Trainer trainer = one.trainer()) {
      trainer.fit(one.data(), one.options().seed(99).build(), QUIET);
      double difference = TrainingCase.difference(trainer.weights(), one.expected());
      assertTrue("" + difference, difference > 10 * TOLERANCE);
    }
  }

  @Test
  public void featuresAnewInEveryStepGiveTheSame() throws Exception {
    TrainingCase one = TrainingCase.named("head");
    try (Trainer trainer = one.trainer()) {
      FitResult result = trainer.fit(one.data(), one.options().cacheFeatures(false).build(), QUIET);
      assertEquals(20, result.steps());
      double difference = TrainingCase.difference(trainer.weights(), one.expected());
      assertTrue("" + difference, difference < TOLERANCE);
    }
  }

  @Test
  public void headAndWholeEvaluateAlike() throws Exception {
    TrainingCase one = TrainingCase.named("head");
    try (Trainer trainer = one.trainer()) {
      Dataset data = one.data();
      Tensor features = trainer.features(data);
      assertTrue(features.toString(), features.hasShape(77, 8));
      Evaluation whole = trainer.evaluate(data);
      Evaluation head = trainer.evaluateHead(data, features);
      assertEquals(whole.loss(), head.loss(), 1e-6);
      assertEquals(whole.accuracy(), head.accuracy(), 0);
      Tensor probabilities = trainer.predict(data);
      assertTrue(probabilities.hasShape(77, 10));
      int right = 0;
      for (int row = 0; row < 77; row++) {
        double sum = 0;
        int best = 0;
        for (int at = 0; at < 10; at++) {
          sum += probabilities.data().getFloat(4 * (10 * row + at));
          float likeliest = probabilities.data().getFloat(4 * (10 * row + best));
          best = probabilities.data().getFloat(4 * (10 * row + at)) > likeliest ? at : best;
        }
        assertEquals(1, sum, 1e-5);
        right += best == data.label(row) ? 1 : 0;
      }
      assertEquals(whole.accuracy(), right / 77.0, 1e-9);
    }
  }

  @Test
  public void aStepAllocatesNothingOfOurs() throws Exception {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    for (TrainingCase one : TrainingCase.all()) {
      try (Trainer trainer = one.trainer()) {
        Dataset data = one.data();
        TrainingStep step = trainer.prepare(data, one.options().build());
        int[] order = new int[77];
        for (int warmUp = 0; warmUp < 50; warmUp++) {
          step.run(order, 64, 13, warmUp);
        }
        long thread = Thread.currentThread().getId();
        int steps = 200;
        long before = threads.getThreadAllocatedBytes(thread);
        for (int at = 0; at < steps; at++) {
          step.run(order, 64, 13, at);
        }
        long perStep = (threads.getThreadAllocatedBytes(thread) - before) / steps;
        Samples samples = Samples.of(data, trainer.manifest().input());
        String entry = trainer.hasFeatures() ? "features" : "train";
        Batch batch = new Batch(trainer.manifest().signatures().get(entry).inputs().get("x"));
        before = threads.getThreadAllocatedBytes(thread);
        for (int at = 0; at < steps; at++) {
          batch.fill(samples, order, 64, 13);
          batch.label(data, order, 64, 13);
        }
        long ours = (threads.getThreadAllocatedBytes(thread) - before) / steps;
        System.out.println(one.name + ": a step allocates " + perStep + " bytes, ours " + ours);
        assertEquals(one.name, 0, ours);
        // Iterators and shapes inside TensorFlow Lite's runSignature.
        assertTrue(one.name + ": " + perStep, perStep < 2048);
      }
    }
  }

  @Test
  public void weightsComeOutAsTheyWentIn() throws Exception {
    TrainingCase one = TrainingCase.named("norm");
    try (Trainer trainer = one.trainer()) {
      Map<String, Tensor> expected = one.expected();
      trainer.setWeights(expected);
      assertEquals(0, TrainingCase.difference(expected, trainer.weights()), 0);
      assertNotSame(trainer.weights(), trainer.weights());
    }
  }

  @Test
  public void doublesAndHalvesAreTakenForFloats() throws Exception {
    try (Trainer trainer = TrainingCase.named("head").trainer()) {
      Map<String, Tensor> weights = new LinkedHashMap<>(trainer.weights());
      Tensor doubles = Tensor.zeros(DType.FLOAT64, 10);
      Tensor halves = Tensor.zeros(DType.FLOAT16, 16);
      doubles.data().asDoubleBuffer().put(3, 0.25);
      short[] bits = {0x3c00, (short) 0xc000, 0x0001, 0x7bff, (short) 0x8400};
      halves.data().asShortBuffer().put(bits);
      weights.put("logits/bias", doubles);
      weights.put("hidden/bias", halves);
      trainer.setWeights(weights);
      assertEquals(0.25f, trainer.weights().get("logits/bias").data().getFloat(12), 0);
      float[] expected = {1, -2, 5.9604645e-8f, 65504, -6.1035156e-5f};
      for (int at = 0; at < expected.length; at++) {
        assertEquals(expected[at], trainer.weights().get("hidden/bias").data().getFloat(4 * at), 0);
      }
    }
  }

  @Test
  public void weightsThatDoNotFitChangeNothing() throws Exception {
    try (Trainer trainer = TrainingCase.named("head").trainer()) {
      Map<String, Tensor> before = trainer.weights();
      Tensor zeros = Tensor.zeros(DType.FLOAT32, 10);
      refused(trainer, "what/else", zeros, "unknown weight 'what/else': bundle 'head'");
      refused(trainer, "logits/bias", null, "missing weight 'logits/bias': all 4 variables");
      refused(
          trainer,
          "logits/bias",
          Tensor.zeros(DType.FLOAT32, 5, 2),
          "weight 'logits/bias' has shape [5, 2], not [10]");
      refused(
          trainer,
          "logits/bias",
          Tensor.zeros(DType.INT32, 10),
          "weight 'logits/bias' has dtype int32, not float32");
      assertEquals(0, TrainingCase.difference(before, trainer.weights()), 0);
    }
  }

  @Test
  public void aRoundThatDivergesIsSaid() throws Exception {
    TrainingCase one = TrainingCase.named("whole");
    try (Trainer trainer = one.trainer()) {
      Dataset data = one.data();
      DivergedException error =
          assertThrows(
              DivergedException.class,
              () -> trainer.fit(data, FitOptions.of(2, 1e30).build(), QUIET));
      String message = error.getMessage();
      assertTrue(
          message,
          message.matches(
              "the loss is (NaN|Infinity) at step \\d+ of 10, with learning rate 1.0E30; a lower"
                  + " one may help"));
    }
  }

  @Test
  public void whatABundleCannotDoIsSaid() throws Exception {
    TrainingCase whole = TrainingCase.named("whole");
    try (Trainer trainer = whole.trainer()) {
      Dataset data = whole.data();
      says(trainer, data, FitOptions.of(1, 0.1).cut("conv9"), "no cut 'conv9'; it has: conv-2");
      says(trainer, data, FitOptions.of(1, 0.1).mu(0.5), "exported without a proximal term");
      says(trainer, data, FitOptions.of(1, -1), "cannot train for 1 epochs with learning rate -1");
      says(trainer, data, FitOptions.of(1, Double.NaN), "with learning rate NaN");
      assertThrows(TrainingException.class, () -> trainer.features(data));
    }
  }

  @Test
  public void anInterruptEndsTrainingBetweenTwoSteps() throws Exception {
    TrainingCase one = TrainingCase.named("whole");
    try (Trainer trainer = one.trainer()) {
      int[] done = new int[1];
      assertThrows(
          InterruptedException.class,
          () ->
              trainer.fit(
                  one.data(),
                  one.options().build(),
                  (steps, planned) -> {
                    done[0] = steps;
                    if (steps == 3) {
                      Thread.currentThread().interrupt();
                    }
                  }));
      assertEquals(3, done[0]);
    }
  }

  @Test
  public void threadsAreTakenAndTheRuntimeIsNamed() throws Exception {
    try (Trainer trainer = new Trainer(Bundle.load(TestData.file("norm"), null), 2)) {
      TrainingCase one = TrainingCase.named("norm");
      trainer.fit(one.data(), one.options().build(), QUIET);
      double difference = TrainingCase.difference(trainer.weights(), one.expected());
      assertTrue("" + difference, difference < TOLERANCE);
    }
    assertEquals("tensorflow-lite 2.16.1 (java)", Trainer.runtime());
  }

  private static void refused(Trainer trainer, String path, Tensor value, String words)
      throws Exception {
    Map<String, Tensor> weights = new LinkedHashMap<>();
    trainer.weights().forEach((name, tensor) -> weights.put(name, zerosLike(tensor)));
    if (value == null) {
      weights.remove(path);
    } else {
      weights.put(path, value);
    }
    WeightsException error =
        assertThrows(WeightsException.class, () -> trainer.setWeights(weights));
    assertTrue(error.getMessage(), error.getMessage().contains(words));
  }

  private static Tensor zerosLike(Tensor tensor) {
    return Tensor.zeros(tensor.type(), tensor.shape());
  }

  private static void says(
      Trainer trainer, Dataset data, FitOptions.Builder options, String words) {
    TrainingException error =
        assertThrows(TrainingException.class, () -> trainer.fit(data, options.build(), QUIET));
    assertTrue(error.getMessage(), error.getMessage().contains(words));
  }
}
