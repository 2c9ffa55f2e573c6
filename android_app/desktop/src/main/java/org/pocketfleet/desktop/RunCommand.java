package org.pocketfleet.desktop;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.SettingsException;
import org.pocketfleet.bundle.BundleStore;
import org.pocketfleet.client.Worker;
import org.pocketfleet.client.WorkerSettings;
import org.pocketfleet.energy.EnergyMeter;
import org.pocketfleet.energy.ModelMeter;
import org.pocketfleet.transport.ClientConfig;

/** {@code run}: takes part until told to leave. */
final class RunCommand {
  static final String EXAMPLES =
      "  # at home, over TLS with the certificate that the server made\n"
          + "  pocketfleet-client run --server 192.168.1.10:8000 --ca ca.pem \\\n"
          + "      --bundle cifar.bundle --data shard-3.npz --state ~/.pocketfleet\n\n"
          + "  # the server sends the bundle; it has to be signed by this key\n"
          + "  pocketfleet-client run --server 192.168.1.10:8000 --ca ca.pem \\\n"
          + "      --trust signer.pem --data shard-3.npz --state ~/.pocketfleet\n\n"
          + "  # on one machine, to try things out\n"
          + "  pocketfleet-client run --server 127.0.0.1:8000 --insecure \\\n"
          + "      --bundle cifar.bundle --data shard-3.npz --state /tmp/client-3";

  private RunCommand() {}

  /** Runs the command and tells its exit code. */
  static int run(List<String> arguments) throws Options.UsageException, PocketfleetException {
    Options options =
        new Options(
            "pocketfleet-client run",
            "Connect to a server, do what it asks, and go on until SIGTERM or Ctrl-C. A client that"
                + " was\nkilled takes up its work when it is started again with the same state"
                + " directory.",
            EXAMPLES);
    ClientOptions.addTo(options)
        .optional(
            "--bundle", "DIR", "what to train, directory or zip (default: what the server sends)")
        .required("--data", "FILE", "training data: .npz or image folder")
        .optional("--test-data", "FILE", "own test data (default: the training data)")
        .optional("--trust", "KEY.pem", "public key that must have signed the bundle")
        .optional("--name", "NAME", "name in reports (default: host and data file)")
        .optional("--processor", "CLASS", "cpu, gpu, ...: whose cutoff applies here", "cpu")
        .optional("--profile", "NAME", "device profile that the report shows", "generic")
        .optional(
            "--energy",
            "SOURCE",
            "as the Python client takes it; this client reads no sensor: auto or model",
            "auto")
        .optional(
            "--idle-baseline",
            "S",
            "as the Python client takes it; models, all that this client has, need none")
        .optional(
            "--cool-down-c", "C", "as the Python client takes it; this client refuses to wait so")
        .optional("--threads", "N", "threads for training (default: the fastest)")
        .flag(
            "--no-feature-cache",
            "compute a frozen base anew in every step: slower, but needs no memory for every"
                + " sample's features")
        .optional(
            "--feature-cache-mb",
            "MB",
            "as the Python client takes it; this client keeps features in memory alone")
        .optional(
            "--power-idle-w", "W", "power of this device when it does nothing, for modelled energy")
        .optional("--power-active-w", "W", "what a busy core adds to that");
    if (!options.parse(arguments)) {
      return 0;
    }
    Log.start(options.has("--verbose"));
    ClientConfig config = ClientOptions.config(options).build();
    NativeLibrary.load();
    try (Worker worker = Worker.open(store(options, config), settings(options, config))) {
      Service.run(config, worker);
    }
    return 0;
  }

  private static BundleStore store(Options options, ClientConfig config)
      throws PocketfleetException {
    String trusted =
        options.has("--trust")
            ? new String(ClientOptions.read(options.text("--trust")), StandardCharsets.US_ASCII)
            : null;
    if (options.has("--bundle")) {
      return BundleStore.fixed(new File(options.text("--bundle")), trusted);
    }
    if (trusted == null) {
      throw new SettingsException(
          "no bundle: give one with --bundle, or with --trust the public key that must have signed"
              + " what the server sends");
    }
    return new BundleStore(new File(config.stateDirectory(), "bundles"), trusted);
  }

  private static WorkerSettings settings(Options options, ClientConfig config)
      throws Options.UsageException {
    File data = new File(options.text("--data"));
    String name = options.has("--name") ? options.text("--name") : hostName() + "-" + stem(data);
    WorkerSettings.Builder settings =
        WorkerSettings.builder(name, LocalData.at(options.text("--data")))
            .processor(options.text("--processor"))
            .profile(options.text("--profile"))
            .cacheFeatures(!options.has("--no-feature-cache"))
            .localWeights(new File(config.stateDirectory(), "weights"))
            .facts(() -> LinuxFacts.of(LinuxFacts.POWER_SUPPLY, LinuxFacts.MEMORY))
            .battery(() -> LinuxFacts.battery(LinuxFacts.POWER_SUPPLY))
            .build(build())
            .meter(meter(options));
    if (options.has("--threads")) {
      settings.threads(options.count("--threads"));
    }
    if (options.has("--test-data")) {
      settings.testData(LocalData.at(options.text("--test-data")));
    }
    return settings.build();
  }

  /** Where joules come from; null: nowhere, as a Java virtual machine can read no meter. */
  private static EnergyMeter meter(Options options) throws Options.UsageException {
    if (!Arrays.asList("auto", "model").contains(options.text("--energy"))) {
      throw new Options.UsageException("--energy: this client reads no sensor; auto or model");
    }
    if (options.has("--cool-down-c")) {
      throw new Options.UsageException("--cool-down-c: this client reads no thermometer");
    }
    if (options.has("--power-idle-w") != options.has("--power-active-w")) {
      throw new Options.UsageException("--power-idle-w and --power-active-w belong together");
    }
    return options.has("--power-idle-w")
        ? new ModelMeter(
            options.number("--power-idle-w"),
            options.number("--power-active-w"),
            "--power-idle-w and --power-active-w")
        : null;
  }

  /** Version of this program as its jar says; empty: it does not. */
  private static String build() {
    String version = RunCommand.class.getPackage().getImplementationVersion();
    return version == null ? "" : version;
  }

  private static String stem(File file) {
    String name = file.getName();
    int dot = name.lastIndexOf('.');
    return dot > 0 ? name.substring(0, dot) : name;
  }

  /** As the kernel knows it; asking Java for it asks the network. */
  private static String hostName() {
    try {
      byte[] name = Files.readAllBytes(Paths.get("/proc/sys/kernel/hostname"));
      return new String(name, StandardCharsets.US_ASCII).trim();
    } catch (IOException nameless) {
      return "client";
    }
  }
}
