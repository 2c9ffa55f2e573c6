package org.pocketfleet.app;

import android.content.Context;
import java.io.File;
import java.nio.charset.StandardCharsets;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.SettingsException;
import org.pocketfleet.bundle.BundleStore;
import org.pocketfleet.client.Client;
import org.pocketfleet.client.Gate;
import org.pocketfleet.client.Handler;
import org.pocketfleet.client.Worker;
import org.pocketfleet.client.WorkerSettings;
import org.pocketfleet.data.DataException;
import org.pocketfleet.data.DataSource;
import org.pocketfleet.data.ImageFolder;
import org.pocketfleet.data.NpzData;
import org.pocketfleet.energy.BatteryMeter;
import org.pocketfleet.energy.BatteryOr;
import org.pocketfleet.energy.EnergyMeter;
import org.pocketfleet.energy.ModelMeter;
import org.pocketfleet.readiness.ReadinessGate;
import org.pocketfleet.report.JsonLines;
import org.pocketfleet.transport.ClientConfig;

/** One client from start to end: puts the core's parts together as the settings say. */
final class FleetRun implements Run {
  static final String DECISIONS = "decisions.jsonl";
  private static final long MAX_DECISION_BYTES = 128 << 10;
  private static final double LEAVE_WITHIN_S = 3;

  /** How long the phone's idle power is measured, before the first task, where its gauge can. */
  private static final double IDLE_S = 10;

  private final Context context;
  private final Settings settings;
  private final StatusBoard board;
  private final Limits limits;
  private final EnergyMeter meter;
  private volatile boolean stopped;
  private Client client;

  FleetRun(Context context, Settings settings, StatusBoard board) {
    this.context = context;
    this.settings = settings;
    this.board = board;
    this.meter =
        new BatteryOr(
            new BatteryMeter(new AndroidBattery(context), AndroidBattery.PERIOD_MS),
            ModelMeter.generic());
    this.limits =
        new Limits(
            settings.maxRounds,
            settings.endAtMs,
            System::currentTimeMillis,
            rounds -> counted(rounds),
            () -> this.stop());
  }

  @Override
  public void run() throws PocketfleetException {
    if (settings.server.isEmpty()) {
      throw new SettingsException("No server yet. Open an invitation, or type the address.");
    }
    if (settings.trust.isEmpty() && settings.bundle.isEmpty()) {
      throw new SettingsException(
          "No key by which to trust models yet. Open the invitation of the server.");
    }
    ClientConfig config = config();
    Gate gate = settings.gated ? gate(context, settings) : task -> null;
    try (Worker worker = worker()) {
      meter.measureIdle(IDLE_S, () -> stopped);
      serve(config, worker, gate);
    }
  }

  /**
   * Opens model and data as the settings say.
   *
   * @throws PocketfleetException they cannot be used
   */
  Worker worker() throws PocketfleetException {
    return Worker.open(bundles(), work());
  }

  private void serve(ClientConfig config, Handler handler, Gate gate) throws PocketfleetException {
    Client mine =
        new Client(
            config, DeviceKey.open(context).key(), handler, gate, new Listeners(board, limits));
    synchronized (this) {
      if (stopped) {
        return;
      }
      client = mine;
    }
    mine.run();
  }

  @Override
  public synchronized void stop() {
    stopped = true;
    if (client != null) {
      client.stop();
    }
  }

  /** A client that is killed and started again shall do the rounds that are left, no more. */
  private void counted(long rounds) {
    if (settings.maxRounds > 0) {
      Settings.Builder left = SettingsStore.load(context).change();
      left.maxRounds = Math.max(1, settings.maxRounds - rounds);
      SettingsStore.save(context, left.build());
    }
  }

  @Override
  public long rounds() {
    return limits.rounds();
  }

  private ClientConfig config() throws SettingsException {
    boolean ownCa = !settings.insecure && !settings.ca.isEmpty();
    return ClientConfig.builder()
        .server(settings.server)
        .stateDirectory(Places.state(context))
        .caPem(ownCa ? settings.ca.getBytes(StandardCharsets.US_ASCII) : null)
        .insecure(settings.insecure)
        .giveUpAfterSeconds((double) settings.giveUpAfterS)
        .leaveWithinSeconds(LEAVE_WITHIN_S)
        // What one message may hold has to fit into this app's memory together with the model.
        .maxMessageBytes(Runtime.getRuntime().maxMemory() / 4)
        .build();
  }

  /** The gate of the settings' policy, which records its decisions. */
  static ReadinessGate gate(Context context, Settings settings) {
    File file = new File(Places.results(context, settings.results), DECISIONS);
    return new ReadinessGate(
        settings.policy(),
        new AndroidConditions(context),
        new JsonLines(file, MAX_DECISION_BYTES),
        System::currentTimeMillis);
  }

  private WorkerSettings work() throws DataException {
    if (settings.data.isEmpty()) {
      throw new DataException("none chosen yet. Choose a file or a folder of pictures.");
    }
    String name = settings.name.isEmpty() ? DeviceFacts.defaultName() : settings.name;
    WorkerSettings.Builder work =
        WorkerSettings.builder(name, source(settings.data))
            .processor(settings.processor)
            .profile(settings.profile)
            .localWeights(Places.weights(context))
            .meter(meter)
            .facts(() -> DeviceFacts.of(context))
            .battery(new AndroidConditions(context)::battery)
            .build(DeviceFacts.version(context))
            .onStep(board::step);
    if (!settings.testData.isEmpty()) {
      work.testData(source(settings.testData));
    }
    return work.build();
  }

  private static DataSource source(String path) throws DataException {
    File file = new File(path);
    if (!file.exists()) {
      throw new DataException(path + ": is not there any more. Choose the data again.");
    }
    return file.isDirectory() ? new ImageFolder(file, new BitmapDecoder()) : new NpzData(file);
  }

  private BundleStore bundles() throws PocketfleetException {
    String trust = settings.trust.isEmpty() ? null : settings.trust;
    return settings.bundle.isEmpty()
        ? new BundleStore(Places.bundles(context), trust)
        : BundleStore.fixed(new File(settings.bundle), trust);
  }
}
