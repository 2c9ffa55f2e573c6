package org.pocketfleet.app;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.junit.runner.JUnitCore;
import org.junit.runner.Result;
import org.junit.runner.notification.Failure;
import org.pocketfleet.transport.FileNodeKey;

/**
 * The app on Robolectric's Android 14 as a program with the client's command line, so that a real
 * server can start it like any other client: {@code key --state DIR} and {@code run …}.
 */
public final class PhoneMain {
  /** Name of the file that asks the phone to stop. */
  static final String STOP = "stop-phone";

  private PhoneMain() {}

  /** Runs the program. */
  public static void main(String[] arguments) throws Exception {
    List<String> all = Arrays.asList(arguments);
    File state = new File(all.get(all.indexOf("--state") + 1));
    if (all.get(0).equals("key")) {
      byte[] pem = FileNodeKey.loadOrCreate(new File(state, "key.pem")).publicPem();
      System.out.print(new String(pem, StandardCharsets.US_ASCII));
      return;
    }
    System.setProperty("pocketfleet.phone", String.join("\n", all));
    Thread phone = Thread.currentThread();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(state, phone)));
    Result result = JUnitCore.runClasses(PhoneProgram.class);
    for (Failure failure : result.getFailures()) {
      System.err.println(failure.getTrace());
    }
    if (result.getFailureCount() > 0) {
      Runtime.getRuntime().halt(1);
    }
  }

  /** On SIGTERM: the service has to leave as if its notification's button had been pressed. */
  private static void stop(File state, Thread phone) {
    try {
      boolean unused = new File(state, STOP).createNewFile();
      phone.join(10_000);
    } catch (IOException | InterruptedException error) {
      System.err.println(error);
    }
  }
}
