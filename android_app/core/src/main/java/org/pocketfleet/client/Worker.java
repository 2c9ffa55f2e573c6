package org.pocketfleet.client;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.ProcessUse;
import org.pocketfleet.Stopwatch;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.bundle.BundleStore;
import org.pocketfleet.bundle.Variable;
import org.pocketfleet.energy.BatteryState;
import org.pocketfleet.energy.Phases;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.tensor.Codec;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.training.DivergedException;
import org.pocketfleet.training.Evaluation;
import org.pocketfleet.training.FitOptions;
import org.pocketfleet.training.FitResult;
import org.pocketfleet.training.Trainer;
import org.pocketfleet.training.TrainingException;

/**
 * One client's model and data. Does what the server asks: sets weights, trains or evaluates,
 * measures, answers. Knows nothing of the network. For one thread at a time.
 *
 * <p>What goes wrong in a task leaves the worker able to do the next one, also when the memory does
 * not suffice: then model and data are given up, and loaded again when they are needed.
 */
public final class Worker implements Handler, AutoCloseable {
  private static final double NOT_KNOWN = -1;

  private final BundleStore store;
  private final WorkerSettings settings;
  private final Phases phases;
  private Job job;

  private Worker(BundleStore store, WorkerSettings settings) {
    this.store = store;
    this.settings = settings;
    this.phases = new Phases(settings.meter());
  }

  /**
   * Opens the model and the data, if there is a bundle yet.
   *
   * @throws PocketfleetException bundle, data or TensorFlow Lite cannot be used
   */
  public static Worker open(BundleStore store, WorkerSettings settings)
      throws PocketfleetException {
    Worker worker = new Worker(store, settings);
    worker.jobOrNull();
    return worker;
  }

  @Override
  public void phase(String name) {
    phases.enter(name);
  }

  @Override
  public Reply handle(Task task) throws PocketfleetException, InterruptedException {
    phases.enter(Phases.NONE);
    try {
      switch (task.kind()) {
        case Records.QUERY:
          return query(task);
        case Records.TRAIN:
          return train(task);
        case Records.EVALUATE:
          return evaluate(task);
        default:
          throw new TaskException("unknown kind of task '" + task.kind() + "'");
      }
    } catch (OutOfMemoryError error) {
      close();
      Events.error(error, "event=out-of-memory kind=%s", task.kind());
      throw new TrainingException(
          String.format(
              Locale.ROOT,
              "the device has not enough memory for this %s task (%s); a smaller batch, a later"
                  + " cut or fewer samples need less",
              task.kind(),
              error.getMessage()),
          error);
    }
  }

  /**
   * What the server may know of this device.
   *
   * @throws PocketfleetException the bundle or the data cannot be used any more
   */
  public Map<String, Object> facts() throws PocketfleetException {
    Job held = jobOrNull();
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put(Records.NAME, settings.name());
    facts.put(Records.PROCESSOR, settings.processor());
    facts.put(Records.PROFILE, settings.profile());
    facts.put(Records.NUM_EXAMPLES, held == null ? 0L : (long) held.data().size());
    facts.put(Records.CLASSES_HELD, held == null ? 0L : (long) held.data().classesHeld());
    facts.put(Records.BUNDLE, held == null ? "" : held.trainer().bundle().sha256());
    facts.put(Records.ACCEPTS_BUNDLE, store.accepts());
    facts.put(Records.KEEPS_WEIGHTS, settings.localWeights() != null);
    facts.put(Records.CODECS, String.join(" ", Codec.FAMILIES));
    facts.put(Records.MODEL, held == null ? "" : held.trainer().manifest().name());
    facts.put(Records.RUNTIME, Trainer.runtime());
    facts.put(Records.THREADS, (long) settings.threads());
    facts.put(
        Records.SYSTEM, System.getProperty("os.name") + " " + System.getProperty("os.version"));
    facts.put(Records.MACHINE, System.getProperty("os.arch"));
    facts.put(Records.BUILD, settings.build());
    facts.put(Records.CORES, (long) Runtime.getRuntime().availableProcessors());
    facts.put(
        Records.JAVA,
        System.getProperty("java.vm.name") + " " + System.getProperty("java.version"));
    facts.putAll(settings.facts());
    return facts;
  }

  /** Gives model and data up; the next task that needs them loads them again. */
  @Override
  public void close() {
    Job held = job;
    job = null;
    if (held != null) {
      held.close();
    }
  }

  private Reply query(Task task) throws PocketfleetException {
    if (task.arrays().containsKey(Records.BUNDLE)) {
      install(task);
    }
    Map<String, Object> facts = facts();
    EnergyReport upload = EnergyReport.ofUpload(phases);
    Map<String, Object> metrics = new LinkedHashMap<>(upload.metrics());
    metrics.put(Records.NUM_EXAMPLES, facts.get(Records.NUM_EXAMPLES));
    facts.putAll(upload.info());
    return new Reply(metrics, facts, null);
  }

  /** Changes over to a bundle that came with a query; if it is of no use, the old one stays. */
  private void install(Task task) throws PocketfleetException {
    String sha256 = new Plan(task.config()).text(Records.BUNDLE, "");
    Bundle arrived = store.add(task.arrays().get(Records.BUNDLE).data(), sha256);
    // Two models at a time may be more than the device can hold.
    close();
    Job opened = Job.open(arrived, settings);
    boolean used = false;
    try {
      store.use(arrived);
      used = true;
    } finally {
      if (!used) {
        opened.close();
      }
    }
    job = opened;
    Events.info("event=bundle name=%s sha256=%s", arrived.manifest().name(), sha256);
  }

  private Reply train(Task task) throws PocketfleetException, InterruptedException {
    Job held = job();
    BatteryState before = settings.battery();
    Trainer trainer = held.trainer();
    Plan plan = new Plan(task.config());
    FitOptions options = plan.fitOptions(settings.name(), settings.cacheFeatures());
    List<String> wanted = wanted(plan, trainer, options);
    boolean keep = plan.keepWeights();
    Codec up = plan.codec(Records.UPLOAD_CODEC);
    double cpuStart = ProcessUse.CPU.seconds();
    double start = Stopwatch.WALL.seconds();
    Map<String, Tensor> received = received(plan, task, trainer);
    trainer.setWeights(start(plan, received, trainer));
    if (up.isPlain()) {
      received = Collections.emptyMap();
    }
    double prepareS = Stopwatch.WALL.seconds() - start;
    FitResult result;
    phases.enter(Phases.TRAIN);
    try {
      result = trainer.fit(held.data(), options, settings.onStep());
    } finally {
      phases.enter(Phases.NONE);
    }
    start = Stopwatch.WALL.seconds();
    Map<String, Tensor> weights = trainer.weights();
    checkFinite(weights, options);
    if (keep) {
      keeper().save(plan, trainer.bundle().sha256(), weights);
    }
    weights.keySet().retainAll(wanted);
    weights = up.encode(weights, received);
    prepareS += Stopwatch.WALL.seconds() - start;
    double cpuS = ProcessUse.CPU.seconds() - cpuStart;
    Map<String, Object> metrics = new LinkedHashMap<>();
    metrics.put(Records.NUM_EXAMPLES, (long) held.data().size());
    metrics.put(Records.EXAMPLES_PROCESSED, result.examplesProcessed());
    metrics.put(Records.STEPS, (long) result.steps());
    metrics.put(Records.PLANNED_STEPS, (long) result.plannedSteps());
    metrics.put(Records.TRAIN_LOSS, result.loss());
    metrics.put(Records.TRAIN_S, result.trainSeconds());
    metrics.put(Records.FEATURES_S, result.featuresSeconds());
    metrics.put(Records.PREPARE_S, prepareS);
    metrics.put(Records.CPU_S, Double.isNaN(cpuS) ? NOT_KNOWN : cpuS);
    metrics.put(Records.PEAK_MEMORY_BYTES, ProcessUse.peakMemoryBytes());
    return answer(Phases.TRAIN, metrics, before, weights);
  }

  private Reply evaluate(Task task) throws PocketfleetException {
    Job held = job();
    BatteryState before = settings.battery();
    held.trainer().setWeights(received(new Plan(task.config()), task, held.trainer()));
    double start = Stopwatch.WALL.seconds();
    Evaluation evaluation;
    phases.enter(Phases.EVALUATE);
    try {
      evaluation = held.trainer().evaluate(held.testData());
    } finally {
      phases.enter(Phases.NONE);
    }
    Map<String, Object> metrics = new LinkedHashMap<>();
    metrics.put(Records.NUM_EXAMPLES, (long) held.testData().size());
    metrics.put(Records.EVAL_LOSS, evaluation.loss());
    metrics.put(Records.EVAL_ACCURACY, evaluation.accuracy());
    metrics.put(Records.EVALUATE_S, Stopwatch.WALL.seconds() - start);
    return answer(Phases.EVALUATE, metrics, before, null);
  }

  /** The reply to a task, with all that is known of its joules and conditions. */
  private Reply answer(
      String phase, Map<String, Object> metrics, BatteryState before, Map<String, Tensor> weights) {
    EnergyReport report = EnergyReport.of(phases, phase, before, settings);
    metrics.putAll(report.metrics());
    Map<String, Object> info = new LinkedHashMap<>();
    info.put(Records.NAME, settings.name());
    info.put(Records.RUNTIME, Trainer.runtime());
    info.putAll(report.info());
    return new Reply(metrics, info, weights);
  }

  /** The weights that came with a task. */
  private static Map<String, Tensor> received(Plan plan, Task task, Trainer trainer)
      throws PocketfleetException {
    if (plan.codec(Records.DOWNLOAD_CODEC).isPlain()) {
      return task.arrays();
    }
    Map<String, Codec.Spec> specs = new LinkedHashMap<>();
    for (Variable variable : trainer.manifest().variables().values()) {
      specs.put(variable.path(), new Codec.Spec(variable.shape(), variable.type()));
    }
    return Codec.decode(task.arrays(), specs);
  }

  /** What training starts from: what came, over the client's own weights where the plan says so. */
  private Map<String, Tensor> start(Plan plan, Map<String, Tensor> received, Trainer trainer)
      throws PocketfleetException {
    if (!plan.startsFromOwn()) {
      return received;
    }
    Map<String, Tensor> weights =
        new LinkedHashMap<>(keeper().load(plan, trainer.bundle().sha256()));
    weights.putAll(received);
    return weights;
  }

  private LocalWeights keeper() throws NoLocalWeightsException {
    if (settings.localWeights() == null) {
      throw new NoLocalWeightsException(
          "this client keeps no weights of its own between rounds; send it all variables");
    }
    return new LocalWeights(settings.localWeights());
  }

  /** The variables to send back. */
  private static List<String> wanted(Plan plan, Trainer trainer, FitOptions options)
      throws PocketfleetException {
    Map<String, Variable> every = trainer.manifest().variables();
    for (String path : plan.replyVariables()) {
      if (!every.containsKey(path)) {
        throw new TaskException(
            Records.REPLY_VARIABLES + ": the model has no variable '" + path + "'");
      }
    }
    if (!plan.replyVariables().isEmpty()) {
      return plan.replyVariables();
    }
    return plan.replyAll() ? new ArrayList<>(every.keySet()) : trainer.trained(options.cut());
  }

  private Job job() throws PocketfleetException {
    Job held = jobOrNull();
    if (held == null) {
      throw new TaskException("this client has no bundle yet; the server has to send it one first");
    }
    return held;
  }

  private Job jobOrNull() throws PocketfleetException {
    if (job == null) {
      Bundle bundle = store.current();
      job = bundle == null ? null : Job.open(bundle, settings);
    }
    return job;
  }

  /** The loss is from before the last step, so it does not tell what that did to the weights. */
  private static void checkFinite(Map<String, Tensor> weights, FitOptions options)
      throws DivergedException {
    for (Map.Entry<String, Tensor> entry : weights.entrySet()) {
      if (!entry.getValue().isFinite()) {
        throw new DivergedException(
            String.format(
                Locale.ROOT,
                "weight '%s' is not finite after training with learning rate %s; a lower one may"
                    + " help",
                entry.getKey(),
                options.learningRate()));
      }
    }
  }
}
