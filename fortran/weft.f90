! Weft for Fortran. A function of the C headers has its name here; what it does is said there. The rules:
!
! - Options are keyword arguments: weft_adam(model, weft_adam_options(lr=1d-3)). What is left out is the default.
!   Texts in options go through weft_text: weft_open_options(strategy=weft_text("ddp")).
! - What returns a status in C is a subroutine with an optional last argument: call weft_step(adam, status).
! - Handles are types; weft_optimizer() is C's NULL. Numbers of elements are taken from the arrays.
! - Integers of 64 bits (extents, rows, steps) may be default integers, where all of a call are.
! - An array of Fortran is a tensor with its extents read backwards, in place: a(784, 64) is the tensor (64, 784), 64 rows
!   of 784. Shapes that are written as such (weft_reshape, weft_full) are Weft's, and dimensions count from 0 as in C.
! - Arrays that Weft keeps (weft_wrap, weft_loader_arrays, weft_track_f64) must be contiguous and have the TARGET attribute.
! - Callbacks are procedures with bind(C), given by c_funloc.
! - MPI's communicators are the integers of `use mpi`, or comm%MPI_VAL of `use mpi_f08`.
!
! Made by fortran/generate.py from weft.f90.in and the C headers.
!
! Not here: weft_fail takes any number of arguments
! Not here: weft_open_mpi takes C's handle: weft_open_mpi_f
! Not here: weft_print takes any number of arguments
module weft
    use, intrinsic :: iso_c_binding
    implicit none
    private

    public :: WEFT_OFF, WEFT_MAX_RANK, WEFT_FIELDS, WEFT_MEMORY_KINDS, WEFT_ALL, WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR, &
            WEFT_VERSION_PATCH, WEFT_DEFAULT, WEFT_F32, WEFT_F64, WEFT_F16, WEFT_BF16, WEFT_I32, WEFT_I64, WEFT_U8, &
            WEFT_LOG_SILENT, WEFT_LOG_ERROR, WEFT_LOG_WARNING, WEFT_LOG_INFO, WEFT_LOG_DEBUG, WEFT_MEMORY_PARAMS, &
            WEFT_MEMORY_GRADS, WEFT_MEMORY_MOMENTS, WEFT_MEMORY_COMPUTE, WEFT_MEMORY_ARENA, WEFT_MEMORY_DATA, &
            WEFT_MEMORY_OTHER, WEFT_MEMORY_BUFFERS, WEFT_CONFIG_PRINTED, WEFT_POSTPONED, WEFT_SKIPPED, WEFT_SYNCHRONOUS, &
            WEFT_RELAUNCHED, WEFT_OK, WEFT_EARG, WEFT_ESHAPE, WEFT_EDTYPE, WEFT_EHANDLE, WEFT_ESTATE, WEFT_ENOMEM, &
            WEFT_ENOTSUP, WEFT_ENOENT, WEFT_EIO, WEFT_EFORMAT, WEFT_EDATA, WEFT_ENONFINITE, WEFT_ECONFIG, WEFT_EPEER, &
            WEFT_ETIMEOUT, WEFT_EMPI, WEFT_ECHILD, WEFT_EUSER, WEFT_EDEVICE
    integer(c_int), parameter :: WEFT_OFF = -1
    integer(c_int), parameter :: WEFT_MAX_RANK = 8
    integer(c_int), parameter :: WEFT_FIELDS = 8
    integer(c_int), parameter :: WEFT_MEMORY_KINDS = 8
    integer(c_int), parameter :: WEFT_ALL = huge(0_c_int32_t)
    integer(c_int), parameter :: WEFT_VERSION_MAJOR = 0
    integer(c_int), parameter :: WEFT_VERSION_MINOR = 1
    integer(c_int), parameter :: WEFT_VERSION_PATCH = 0
    integer(c_int), parameter :: WEFT_DEFAULT = 0
    integer(c_int), parameter :: WEFT_F32 = 1
    integer(c_int), parameter :: WEFT_F64 = 2
    integer(c_int), parameter :: WEFT_F16 = 3
    integer(c_int), parameter :: WEFT_BF16 = 4
    integer(c_int), parameter :: WEFT_I32 = 5
    integer(c_int), parameter :: WEFT_I64 = 6
    integer(c_int), parameter :: WEFT_U8 = 7
    integer(c_int), parameter :: WEFT_LOG_SILENT = 0
    integer(c_int), parameter :: WEFT_LOG_ERROR = 1
    integer(c_int), parameter :: WEFT_LOG_WARNING = 2
    integer(c_int), parameter :: WEFT_LOG_INFO = 3
    integer(c_int), parameter :: WEFT_LOG_DEBUG = 4
    integer(c_int), parameter :: WEFT_MEMORY_PARAMS = 0
    integer(c_int), parameter :: WEFT_MEMORY_GRADS = 1
    integer(c_int), parameter :: WEFT_MEMORY_MOMENTS = 2
    integer(c_int), parameter :: WEFT_MEMORY_COMPUTE = 3
    integer(c_int), parameter :: WEFT_MEMORY_ARENA = 4
    integer(c_int), parameter :: WEFT_MEMORY_DATA = 5
    integer(c_int), parameter :: WEFT_MEMORY_OTHER = 6
    integer(c_int), parameter :: WEFT_MEMORY_BUFFERS = 7
    integer(c_int), parameter :: WEFT_CONFIG_PRINTED = 5
    integer(c_int), parameter :: WEFT_POSTPONED = 4
    integer(c_int), parameter :: WEFT_SKIPPED = 3
    integer(c_int), parameter :: WEFT_SYNCHRONOUS = 2
    integer(c_int), parameter :: WEFT_RELAUNCHED = 1
    integer(c_int), parameter :: WEFT_OK = 0
    integer(c_int), parameter :: WEFT_EARG = -1
    integer(c_int), parameter :: WEFT_ESHAPE = -2
    integer(c_int), parameter :: WEFT_EDTYPE = -3
    integer(c_int), parameter :: WEFT_EHANDLE = -4
    integer(c_int), parameter :: WEFT_ESTATE = -5
    integer(c_int), parameter :: WEFT_ENOMEM = -6
    integer(c_int), parameter :: WEFT_ENOTSUP = -7
    integer(c_int), parameter :: WEFT_ENOENT = -8
    integer(c_int), parameter :: WEFT_EIO = -9
    integer(c_int), parameter :: WEFT_EFORMAT = -10
    integer(c_int), parameter :: WEFT_EDATA = -11
    integer(c_int), parameter :: WEFT_ENONFINITE = -12
    integer(c_int), parameter :: WEFT_ECONFIG = -13
    integer(c_int), parameter :: WEFT_EPEER = -14
    integer(c_int), parameter :: WEFT_ETIMEOUT = -15
    integer(c_int), parameter :: WEFT_EMPI = -16
    integer(c_int), parameter :: WEFT_ECHILD = -17
    integer(c_int), parameter :: WEFT_EUSER = -18
    integer(c_int), parameter :: WEFT_EDEVICE = -19

    public :: weft_fabric, weft_tensor, weft_module, weft_optimizer, weft_loader, weft_logger, weft_metric, &
            weft_clip_options, weft_load_raw_options, weft_conv_options, weft_pool_options, weft_batch, weft_rows, &
            weft_loader_options, weft_array, weft_token_options, weft_open_options, weft_timing, weft_traffic, weft_named, &
            weft_cross_entropy_options, weft_linear_cross_entropy_options, weft_loss_options, weft_memory_use, &
            weft_memory_report, weft_accuracy_options, weft_layernorm_options, weft_rmsnorm_options, weft_batchnorm_options, &
            weft_groupnorm_options, weft_nn_attention_options, weft_mlp_options, weft_initializer_options, weft_running, &
            weft_attention_options, weft_rotary_options, weft_sgd_options, weft_adam_options, weft_rmsprop_options, &
            weft_adagrad_options, weft_muon_options, weft_lbfgs_options, weft_group_options, weft_schedule_options

    type, bind(C) :: weft_fabric
        private
        type(c_ptr) :: p = c_null_ptr
    end type

    type, bind(C) :: weft_tensor
        private
        type(c_ptr) :: p = c_null_ptr
    end type

    type, bind(C) :: weft_module
        private
        type(c_ptr) :: p = c_null_ptr
    end type

    type, bind(C) :: weft_optimizer
        private
        type(c_ptr) :: p = c_null_ptr
    end type

    type, bind(C) :: weft_loader
        private
        type(c_ptr) :: p = c_null_ptr
    end type

    type, bind(C) :: weft_logger
        private
        type(c_ptr) :: p = c_null_ptr
    end type

    type, bind(C) :: weft_metric
        private
        type(c_ptr) :: p = c_null_ptr
    end type

    type, bind(C) :: weft_clip_options
        real(c_double) :: clip_val = 0
        real(c_double) :: max_norm = 0
        real(c_double) :: norm_type = 0
        integer(c_int) :: error_if_nonfinite = 0
    end type

    type, bind(C) :: weft_load_raw_options
        type(c_ptr) :: from = c_null_ptr
        logical(c_bool) :: not_strict = .false.
    end type

    type, bind(C) :: weft_conv_options
        integer(c_int64_t) :: stride = 0
        integer(c_int64_t) :: padding = 0
        integer(c_int64_t) :: dilation = 0
        integer(c_int64_t) :: groups = 0
        integer(c_int64_t) :: stride_w = 0
        integer(c_int64_t) :: padding_w = 0
        integer(c_int64_t) :: dilation_w = 0
        integer(c_int64_t) :: kernel_w = 0
        logical(c_bool) :: no_bias = .false.
    end type

    type, bind(C) :: weft_pool_options
        integer(c_int64_t) :: kernel = 0
        integer(c_int64_t) :: stride = 0
        integer(c_int64_t) :: padding = 0
        integer(c_int64_t) :: dilation = 0
        integer(c_int64_t) :: kernel_w = 0
        integer(c_int64_t) :: stride_w = 0
        integer(c_int64_t) :: padding_w = 0
        integer(c_int64_t) :: dilation_w = 0
        logical(c_bool) :: exclude_padding = .false.
    end type

    type, bind(C) :: weft_batch
        type(weft_tensor) :: x
        type(weft_tensor) :: y
        integer(c_int64_t) :: rows = 0
        integer(c_int64_t) :: global_rows = 0
        integer(c_int64_t) :: base = 0
        integer(c_int64_t) :: epoch = 0
        integer(c_int64_t) :: index = 0
        type(c_ptr) :: sample = c_null_ptr
        integer(c_int) :: fields = 0
        type(weft_tensor) :: field(8)
        type(c_ptr) :: name = c_null_ptr
    end type

    type, bind(C) :: weft_rows
        type(c_ptr) :: row = c_null_ptr
        integer(c_int64_t) :: n = 0
        integer(c_int64_t) :: epoch = 0
        integer(c_int64_t) :: base = 0
        integer(c_int64_t) :: seed = 0
        integer(c_int64_t) :: shard = 0
        type(c_ptr) :: shape = c_null_ptr
    end type

    type, bind(C) :: weft_loader_options
        integer(c_int64_t) :: global_batch = 0
        integer(c_int64_t) :: batch_size = 0
        integer(c_int64_t) :: epochs = 0
        logical(c_bool) :: shuffle = .false.
        integer(c_int64_t) :: seed = 0
        type(c_ptr) :: last = c_null_ptr
        logical(c_bool) :: evaluation = .false.
        integer(c_int) :: prefetch = 0
        type(c_ptr) :: x = c_null_ptr
        type(c_ptr) :: y = c_null_ptr
        real(c_double) :: scale = 0
        real(c_double) :: shift = 0
        integer(c_int) :: workers = 0
        type(c_ptr) :: fields = c_null_ptr
        type(c_ptr) :: scales = c_null_ptr
        type(c_ptr) :: shifts = c_null_ptr
        type(c_funptr) :: transform = c_null_funptr
        type(c_ptr) :: transform_self = c_null_ptr
        integer(c_int64_t) :: samples = 0
        logical(c_bool) :: replacement = .false.
        type(c_ptr) :: weights = c_null_ptr
        type(c_ptr) :: lengths = c_null_ptr
        type(c_ptr) :: sampler = c_null_ptr
        type(c_ptr) :: sampler_self = c_null_ptr
        integer(c_int) :: shards = 0
        integer(c_int) :: cache_mb = 0
    end type

    type, bind(C) :: weft_array
        type(c_ptr) :: name = c_null_ptr
        type(c_ptr) :: data = c_null_ptr
        integer(c_int) :: dtype = 0
        integer(c_int) :: rank = 0
        integer(c_int64_t) :: shape(8) = 0
    end type

    type, bind(C) :: weft_token_options
        integer(c_int64_t) :: length = 0
        integer(c_int64_t) :: stride = 0
        integer(c_int64_t) :: offset = 0
        type(c_ptr) :: dtype = c_null_ptr
    end type

    type, bind(C) :: weft_open_options
        type(c_ptr) :: accelerator = c_null_ptr
        type(c_ptr) :: strategy = c_null_ptr
        type(c_ptr) :: devices = c_null_ptr
        integer(c_int) :: num_nodes = 0
        type(c_ptr) :: precision = c_null_ptr
        type(c_ptr) :: nonfinite = c_null_ptr
        integer(c_int64_t) :: seed = 0
        integer(c_int) :: threads = 0
        integer(c_int) :: log_every = 0
        real(c_double) :: timeout = 0
        integer(c_int) :: bucket_mb = 0
        integer(c_int) :: keep = 0
        logical(c_bool) :: print_config = .false.
        real(c_double) :: heartbeat = 0
        real(c_double) :: init_scale = 0
        real(c_double) :: growth_factor = 0
        real(c_double) :: backoff_factor = 0
        integer(c_int) :: growth_interval = 0
        real(c_double) :: min_scale = 0
        integer(c_int) :: reproducible = 0
        type(c_ptr) :: process_group_backend = c_null_ptr
        type(c_ptr) :: strategy_ops = c_null_ptr
        type(c_ptr) :: strategy_self = c_null_ptr
        type(c_ptr) :: overlap_comm = c_null_ptr
        logical(c_bool) :: share_devices = .false.
        type(c_ptr) :: matmul_precision = c_null_ptr
        type(c_ptr) :: graph = c_null_ptr
    end type

    type, bind(C) :: weft_timing
        real(c_double) :: data = 0
        real(c_double) :: forward = 0
        real(c_double) :: backward = 0
        real(c_double) :: communication = 0
        real(c_double) :: optimizer = 0
        real(c_double) :: step = 0
        integer(c_int64_t) :: steps = 0
    end type

    type, bind(C) :: weft_traffic
        integer(c_int64_t) :: collectives = 0
        integer(c_int64_t) :: gradient_reduces = 0
        integer(c_int64_t) :: gradient_bytes = 0
        integer(c_int64_t) :: copies = 0
        integer(c_int64_t) :: copied_bytes = 0
        integer(c_int64_t) :: graphs = 0
        integer(c_int64_t) :: graph_calls = 0
    end type

    type, bind(C) :: weft_named
        type(c_ptr) :: name = c_null_ptr
        type(weft_tensor) :: value
    end type

    type, bind(C) :: weft_cross_entropy_options
        type(c_ptr) :: reduction = c_null_ptr
        integer(c_int64_t) :: ignore_index = 0
        logical(c_bool) :: ignore_zero = .false.
        real(c_double) :: label_smoothing = 0
        type(weft_tensor) :: weight
    end type

    type, bind(C) :: weft_linear_cross_entropy_options
        type(c_ptr) :: reduction = c_null_ptr
        integer(c_int64_t) :: ignore_index = 0
        logical(c_bool) :: ignore_zero = .false.
        real(c_double) :: label_smoothing = 0
        integer(c_int64_t) :: chunk = 0
    end type

    type, bind(C) :: weft_loss_options
        type(c_ptr) :: reduction = c_null_ptr
        real(c_double) :: delta = 0
        real(c_double) :: beta = 0
        type(weft_tensor) :: pos_weight
        logical(c_bool) :: log_target = .false.
    end type

    type, bind(C) :: weft_memory_use
        integer(c_int64_t) :: now = 0
        integer(c_int64_t) :: peak = 0
    end type

    type, bind(C) :: weft_memory_report
        type(weft_memory_use) :: kind(0:7)
        type(weft_memory_use) :: device
        integer(c_int64_t) :: loaders = 0
        integer(c_int64_t) :: checkpoints = 0
    end type

    type, bind(C) :: weft_accuracy_options
        integer(c_int64_t) :: top_k = 0
    end type

    type, bind(C) :: weft_layernorm_options
        real(c_double) :: eps = 0
        logical(c_bool) :: no_parameters = .false.
        logical(c_bool) :: no_bias = .false.
    end type

    type, bind(C) :: weft_rmsnorm_options
        real(c_double) :: eps = 0
        logical(c_bool) :: no_parameters = .false.
    end type

    type, bind(C) :: weft_batchnorm_options
        real(c_double) :: eps = 0
        real(c_double) :: momentum = 0
        logical(c_bool) :: no_parameters = .false.
        logical(c_bool) :: no_statistics = .false.
        logical(c_bool) :: sync = .false.
    end type

    type, bind(C) :: weft_groupnorm_options
        real(c_double) :: eps = 0
        logical(c_bool) :: no_parameters = .false.
    end type

    type, bind(C) :: weft_nn_attention_options
        logical(c_bool) :: causal = .false.
        integer(c_int64_t) :: kv_heads = 0
        logical(c_bool) :: no_bias = .false.
        real(c_double) :: dropout = 0
        logical(c_bool) :: rotary = .false.
        real(c_double) :: rotary_base = 0
        logical(c_bool) :: rotary_interleaved = .false.
    end type

    type, bind(C) :: weft_mlp_options
        type(c_ptr) :: activation = c_null_ptr
        real(c_double) :: dropout = 0
        logical(c_bool) :: layernorm = .false.
        logical(c_bool) :: no_bias = .false.
    end type

    type, bind(C) :: weft_initializer_options
        type(c_ptr) :: kind = c_null_ptr
        real(c_double) :: value = 0
        real(c_double) :: lo = 0
        real(c_double) :: hi = 0
        real(c_double) :: mean = 0
        real(c_double) :: std = 0
        real(c_double) :: gain = 0
        type(c_ptr) :: mode = c_null_ptr
        type(c_ptr) :: nonlinearity = c_null_ptr
        real(c_double) :: a = 0
    end type

    type, bind(C) :: weft_running
        type(weft_tensor) :: mean
        type(weft_tensor) :: var
        type(weft_tensor) :: batches
        real(c_double) :: momentum = 0
        logical(c_bool) :: evaluate = .false.
    end type

    type, bind(C) :: weft_attention_options
        logical(c_bool) :: causal = .false.
        logical(c_bool) :: bottom_right = .false.
        real(c_double) :: scale = 0
        real(c_double) :: dropout = 0
    end type

    type, bind(C) :: weft_rotary_options
        real(c_double) :: base = 0
        integer(c_int64_t) :: offset = 0
        logical(c_bool) :: interleaved = .false.
        integer(c_int64_t) :: dims = 0
        logical(c_bool) :: positions_first = .false.
    end type

    type, bind(C) :: weft_sgd_options
        real(c_double) :: lr = 0
        real(c_double) :: momentum = 0
        real(c_double) :: weight_decay = 0
        logical(c_bool) :: nesterov = .false.
        real(c_double) :: dampening = 0
        logical(c_bool) :: maximize = .false.
    end type

    type, bind(C) :: weft_adam_options
        real(c_double) :: lr = 0
        real(c_double) :: beta1 = 0
        real(c_double) :: beta2 = 0
        real(c_double) :: eps = 0
        real(c_double) :: weight_decay = 0
        logical(c_bool) :: amsgrad = .false.
        logical(c_bool) :: maximize = .false.
        logical(c_bool) :: stochastic_rounding = .false.
    end type

    type, bind(C) :: weft_rmsprop_options
        real(c_double) :: lr = 0
        real(c_double) :: alpha = 0
        real(c_double) :: eps = 0
        real(c_double) :: weight_decay = 0
        real(c_double) :: momentum = 0
        logical(c_bool) :: centered = .false.
        logical(c_bool) :: maximize = .false.
    end type

    type, bind(C) :: weft_adagrad_options
        real(c_double) :: lr = 0
        real(c_double) :: lr_decay = 0
        real(c_double) :: weight_decay = 0
        real(c_double) :: initial_accumulator_value = 0
        real(c_double) :: eps = 0
        logical(c_bool) :: maximize = .false.
    end type

    type, bind(C) :: weft_muon_options
        real(c_double) :: lr = 0
        real(c_double) :: momentum = 0
        real(c_double) :: weight_decay = 0
        integer(c_int) :: nesterov = 0
        integer(c_int) :: ns_steps = 0
        real(c_double) :: ns_coefficients(3) = 0
        real(c_double) :: eps = 0
        type(c_ptr) :: adjust_lr_fn = c_null_ptr
        real(c_double) :: beta1 = 0
        real(c_double) :: beta2 = 0
        real(c_double) :: adamw_eps = 0
    end type

    type, bind(C) :: weft_lbfgs_options
        real(c_double) :: lr = 0
        integer(c_int) :: max_iter = 0
        integer(c_int) :: max_eval = 0
        real(c_double) :: tolerance_grad = 0
        real(c_double) :: tolerance_change = 0
        integer(c_int) :: history_size = 0
        type(c_ptr) :: line_search = c_null_ptr
    end type

    type, bind(C) :: weft_group_options
        real(c_double) :: lr = 0
        real(c_double) :: weight_decay = 0
        real(c_double) :: momentum = 0
        real(c_double) :: dampening = 0
        real(c_double) :: beta1 = 0
        real(c_double) :: beta2 = 0
        real(c_double) :: eps = 0
        real(c_double) :: alpha = 0
        real(c_double) :: lr_decay = 0
        real(c_double) :: adamw = 0
    end type

    type, bind(C) :: weft_schedule_options
        type(c_ptr) :: kind = c_null_ptr
        integer(c_int64_t) :: warmup = 0
        integer(c_int64_t) :: total = 0
        real(c_double) :: min_lr = 0
        integer(c_int64_t) :: every = 0
        integer(c_int64_t) :: step_size = 0
        real(c_double) :: gamma = 0
        type(c_ptr) :: milestones = c_null_ptr
        integer(c_int64_t) :: milestone_count = 0
        real(c_double) :: start_factor = 0
        real(c_double) :: end_factor = 0
        real(c_double) :: power = 0
        real(c_double) :: pct_start = 0
        real(c_double) :: div_factor = 0
        real(c_double) :: final_div_factor = 0
        type(c_ptr) :: mode = c_null_ptr
        real(c_double) :: factor = 0
        integer(c_int64_t) :: patience = 0
        real(c_double) :: threshold = 0
        type(c_ptr) :: threshold_mode = c_null_ptr
        integer(c_int64_t) :: cooldown = 0
        type(c_funptr) :: lambda = c_null_funptr
        type(c_ptr) :: user = c_null_ptr
    end type

    ! Made by hand: the command line, texts, arrays.
    public :: weft_open, weft_open_text, weft_open_mpi, weft_fail, weft_text
    public :: weft_wrap, weft_tensor_of, weft_copy_in, weft_copy_out, weft_loader_arrays, weft_nn_sequential
    public :: weft_associated

    interface weft_fail
        procedure weft_fail_text
    end interface
    interface weft_associated ! false: NULL, after an error
        procedure weft_associated_fabric, weft_associated_tensor, weft_associated_module, weft_associated_optimizer, &
                weft_associated_loader, weft_associated_logger, weft_associated_metric
    end interface
    interface weft_wrap
        procedure weft_wrap_f32, weft_wrap_f64, weft_wrap_i32, weft_wrap_i64
    end interface
    interface weft_tensor_of
        procedure weft_tensor_of_f32, weft_tensor_of_f64, weft_tensor_of_i32, weft_tensor_of_i64
    end interface
    interface weft_copy_in
        procedure weft_copy_in_f32, weft_copy_in_f64, weft_copy_in_i32, weft_copy_in_i64
    end interface
    interface weft_copy_out
        procedure weft_copy_out_f32, weft_copy_out_f64, weft_copy_out_i32, weft_copy_out_i64
    end interface
    interface weft_loader_arrays
        procedure weft_loader_arrays_f32, weft_loader_arrays_f32_f32, weft_loader_arrays_f32_f64, &
                weft_loader_arrays_f32_i32, weft_loader_arrays_f32_i64, weft_loader_arrays_f64, weft_loader_arrays_f64_f32, &
                weft_loader_arrays_f64_f64, weft_loader_arrays_f64_i32, weft_loader_arrays_f64_i64
    end interface

    public :: weft_backward, weft_accumulate, weft_is_accumulating, weft_no_backward_sync_begin, weft_no_backward_sync_end, &
            weft_clip_gradients, weft_loss_scale, weft_skipped_count, weft_unscale, weft_gradient, weft_grad, &
            weft_eval_begin, weft_eval_end, weft_gradcheck, weft_dtype_size, weft_dtype_name, weft_save, weft_save_async, &
            weft_resume, weft_load, weft_load_raw, weft_track_f64, weft_track_i64, weft_all_gather, weft_all_gather_rows, &
            weft_all_reduce, weft_broadcast, weft_broadcast_bytes, weft_broadcast_text, weft_reduce_boolean_decision, &
            weft_sum_over_ranks, weft_barrier, weft_barrier_named, weft_rank_zero_first_begin, weft_rank_zero_first_end, &
            weft_conv2d, weft_conv1d, weft_max_pool2d, weft_avg_pool2d, weft_adaptive_avg_pool2d, weft_global_avg_pool, &
            weft_nn_conv2d, weft_nn_max_pool2d, weft_nn_avg_pool2d, weft_nn_adaptive_avg_pool2d, weft_nn_global_avg_pool, &
            weft_batch_field, weft_rows_uniform, weft_loader_hdf5, weft_loader_fields, weft_loader_idx, weft_loader_tokens, &
            weft_next, weft_rewind, weft_loader_rows, weft_loader_batches, weft_loader_epochs, weft_loader_position, &
            weft_batch_of, weft_join, weft_close, weft_setup, weft_setup_module, weft_setup_optimizer, weft_setup_loader, &
            weft_step_end, weft_every, weft_step_count, weft_global_rank, weft_local_rank, weft_node_rank, weft_world_size, &
            weft_local_world_size, weft_num_nodes, weft_is_global_zero, weft_threads, weft_seed, weft_accelerator_name, &
            weft_strategy_name, weft_precision_name, weft_process_group_backend, weft_device_name, weft_kernel_set, &
            weft_hostname, weft_logger_count, weft_logger_at, weft_seed_everything, weft_to_device, weft_batch_to_device, &
            weft_autocast_begin, weft_autocast_end, weft_timing_take, weft_traffic_count, weft_log_to, weft_log_level, &
            weft_log, weft_log_dict_n, weft_log_value, weft_log_timing, weft_logger_csv, weft_logger_jsonl, &
            weft_logger_console, weft_logger_null, weft_cross_entropy, weft_cross_entropy_sum, weft_cross_entropy_with, &
            weft_nll_loss, weft_linear_cross_entropy, weft_mse_loss, weft_l1_loss, weft_huber_loss, weft_smooth_l1_loss, &
            weft_bce_with_logits, weft_kl_div, weft_memory_name, weft_memory, weft_memory_reset_peak, weft_metric_accuracy, &
            weft_metric_confusion, weft_metric_mean, weft_metric_sum, weft_metric_min, weft_metric_max, weft_metric_update, &
            weft_metric_value, weft_metric_counts, weft_metric_reset, weft_nn_linear, weft_nn_linear_nobias, &
            weft_nn_layernorm, weft_nn_layernorm_with, weft_nn_rmsnorm, weft_nn_rmsnorm_with, weft_nn_swiglu, &
            weft_nn_batchnorm, weft_nn_batchnorm_with, weft_nn_sync_batchnorm, weft_nn_groupnorm, weft_nn_groupnorm_with, &
            weft_nn_instancenorm, weft_nn_embedding, weft_nn_embedding_padded, weft_nn_positions, weft_nn_attention, &
            weft_nn_dropout, weft_nn_identity, weft_nn_flatten, weft_nn_residual, weft_nn_activation, weft_nn_mlp, &
            weft_nn_relu, weft_nn_softmax, weft_nn_log_softmax, weft_nn_gelu, weft_nn_gelu_tanh, weft_nn_silu, &
            weft_nn_sigmoid, weft_nn_tanh, weft_nn_sequential_n, weft_forward, weft_infer, weft_train, weft_is_training, &
            weft_recompute, weft_is_recomputing, weft_param_count, weft_param_elements, weft_param_name, weft_param, &
            weft_buffer_count, weft_buffer_name, weft_buffer, weft_freeze, weft_tie, weft_init_param, weft_module_at, &
            weft_children, weft_child, weft_module_name, weft_module_kind, weft_add, weft_sub, weft_mul, weft_div, weft_pow, &
            weft_maximum, weft_minimum, weft_eq, weft_ne, weft_lt, weft_le, weft_gt, weft_ge, weft_where, weft_scale, &
            weft_matmul, weft_linear, weft_linear_relu, weft_linear_gelu_tanh, weft_mlp_gelu_tanh, weft_relu, weft_neg, &
            weft_abs, weft_exp, weft_ln, weft_sqrt, weft_sin, weft_cos, weft_pow_scalar, weft_clamp, weft_sigmoid, &
            weft_tanh, weft_silu, weft_gelu, weft_gelu_tanh, weft_reshape, weft_transpose, weft_permute, weft_squeeze, &
            weft_unsqueeze, weft_slice, weft_concat_n, weft_gather, weft_sum, weft_mean, weft_max, weft_min, weft_argmax, &
            weft_argmin, weft_softmax, weft_log_softmax, weft_layernorm, weft_add_layernorm, weft_rmsnorm, weft_swiglu, &
            weft_batchnorm, weft_groupnorm, weft_embedding, weft_dropout, weft_attention, weft_attention_packed, &
            weft_rotary, weft_cast, weft_count_correct, weft_sgd, weft_adam, weft_adamw, weft_rmsprop, weft_adagrad, &
            weft_muon, weft_lbfgs, weft_group, weft_group_module, weft_group_count, weft_zero_grad, weft_step, &
            weft_step_closure, weft_lr, weft_group_lr, weft_set_lr, weft_set_group_lr, weft_steps, weft_set_schedule, &
            weft_schedule_metric, weft_strerror, weft_status_name, weft_error, weft_message, weft_clear, weft_fail_text, &
            weft_pin_memory, weft_unpin_memory, weft_full, weft_retain, weft_release, weft_detach, weft_require_grad, &
            weft_rank_of, weft_dim, weft_numel, weft_dtype_of, weft_is_valid, weft_data_pointer, weft_item, weft_version
    interface weft_accumulate
        procedure weft_accumulate_i64, weft_accumulate_i32
    end interface
    interface weft_broadcast_bytes
        procedure weft_broadcast_bytes_i64, weft_broadcast_bytes_i32
    end interface
    interface weft_broadcast_text
        procedure weft_broadcast_text_i64, weft_broadcast_text_i32
    end interface
    interface weft_adaptive_avg_pool2d
        procedure weft_adaptive_avg_pool2d_i64, weft_adaptive_avg_pool2d_i32
    end interface
    interface weft_nn_conv2d
        procedure weft_nn_conv2d_i64, weft_nn_conv2d_i32
    end interface
    interface weft_nn_adaptive_avg_pool2d
        procedure weft_nn_adaptive_avg_pool2d_i64, weft_nn_adaptive_avg_pool2d_i32
    end interface
    interface weft_rows_uniform
        procedure weft_rows_uniform_i64, weft_rows_uniform_i32
    end interface
    interface weft_loader_fields
        procedure weft_loader_fields_i64, weft_loader_fields_i32
    end interface
    interface weft_batch_of
        procedure weft_batch_of_i64, weft_batch_of_i32
    end interface
    interface weft_every
        procedure weft_every_i64, weft_every_i32
    end interface
    interface weft_seed_everything
        procedure weft_seed_everything_i64, weft_seed_everything_i32
    end interface
    interface weft_log_dict_n
        procedure weft_log_dict_n_i64, weft_log_dict_n_i32
    end interface
    interface weft_metric_confusion
        procedure weft_metric_confusion_i64, weft_metric_confusion_i32
    end interface
    interface weft_nn_linear
        procedure weft_nn_linear_i64, weft_nn_linear_i32
    end interface
    interface weft_nn_linear_nobias
        procedure weft_nn_linear_nobias_i64, weft_nn_linear_nobias_i32
    end interface
    interface weft_nn_layernorm
        procedure weft_nn_layernorm_i64, weft_nn_layernorm_i32
    end interface
    interface weft_nn_layernorm_with
        procedure weft_nn_layernorm_with_i64, weft_nn_layernorm_with_i32
    end interface
    interface weft_nn_rmsnorm
        procedure weft_nn_rmsnorm_i64, weft_nn_rmsnorm_i32
    end interface
    interface weft_nn_rmsnorm_with
        procedure weft_nn_rmsnorm_with_i64, weft_nn_rmsnorm_with_i32
    end interface
    interface weft_nn_swiglu
        procedure weft_nn_swiglu_i64, weft_nn_swiglu_i32
    end interface
    interface weft_nn_batchnorm
        procedure weft_nn_batchnorm_i64, weft_nn_batchnorm_i32
    end interface
    interface weft_nn_batchnorm_with
        procedure weft_nn_batchnorm_with_i64, weft_nn_batchnorm_with_i32
    end interface
    interface weft_nn_groupnorm
        procedure weft_nn_groupnorm_i64, weft_nn_groupnorm_i32
    end interface
    interface weft_nn_groupnorm_with
        procedure weft_nn_groupnorm_with_i64, weft_nn_groupnorm_with_i32
    end interface
    interface weft_nn_instancenorm
        procedure weft_nn_instancenorm_i64, weft_nn_instancenorm_i32
    end interface
    interface weft_nn_embedding
        procedure weft_nn_embedding_i64, weft_nn_embedding_i32
    end interface
    interface weft_nn_embedding_padded
        procedure weft_nn_embedding_padded_i64, weft_nn_embedding_padded_i32
    end interface
    interface weft_nn_positions
        procedure weft_nn_positions_i64, weft_nn_positions_i32
    end interface
    interface weft_nn_attention
        procedure weft_nn_attention_i64, weft_nn_attention_i32
    end interface
    interface weft_nn_mlp
        procedure weft_nn_mlp_i64, weft_nn_mlp_i32
    end interface
    interface weft_infer
        procedure weft_infer_i64, weft_infer_i32
    end interface
    interface weft_param_name
        procedure weft_param_name_i64, weft_param_name_i32
    end interface
    interface weft_buffer_name
        procedure weft_buffer_name_i64, weft_buffer_name_i32
    end interface
    interface weft_child
        procedure weft_child_i64, weft_child_i32
    end interface
    interface weft_reshape
        procedure weft_reshape_i64, weft_reshape_i32
    end interface
    interface weft_slice
        procedure weft_slice_i64, weft_slice_i32
    end interface
    interface weft_groupnorm
        procedure weft_groupnorm_i64, weft_groupnorm_i32
    end interface
    interface weft_embedding
        procedure weft_embedding_i64, weft_embedding_i32
    end interface
    interface weft_attention_packed
        procedure weft_attention_packed_i64, weft_attention_packed_i32
    end interface
    interface weft_pin_memory
        procedure weft_pin_memory_i64, weft_pin_memory_i32
    end interface
    interface weft_full
        procedure weft_full_i64, weft_full_i32
    end interface
    interface
        function c_strlen(s) bind(C, name="strlen") result(r)
            import
            type(c_ptr), value :: s
            integer(c_size_t) :: r
        end function
        function c_weft_backward(f, loss) bind(C, name="weft_backward") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_tensor), value :: loss
            integer(c_int) :: returned
        end function
        function c_weft_accumulate(f, n) bind(C, name="weft_accumulate") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            integer(c_int) :: returned
        end function
        function c_weft_is_accumulating(f) bind(C, name="weft_is_accumulating") result(returned)
            import
            type(weft_fabric), value :: f
            logical(c_bool) :: returned
        end function
        function c_weft_no_backward_sync_begin(m, enabled) bind(C, name="weft_no_backward_sync_begin") result(returned)
            import
            type(weft_module), value :: m
            logical(c_bool), value :: enabled
            integer(c_int) :: returned
        end function
        function c_weft_no_backward_sync_end(m) bind(C, name="weft_no_backward_sync_end") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int) :: returned
        end function
        function weft_clip_gradients(o, c) bind(C, name="weft_clip_gradients") result(returned)
            import
            type(weft_optimizer), value :: o
            type(weft_clip_options), intent(in), optional :: c
            type(weft_tensor) :: returned
        end function
        function weft_loss_scale(f) bind(C, name="weft_loss_scale") result(returned)
            import
            type(weft_fabric), value :: f
            real(c_double) :: returned
        end function
        function weft_skipped_count(f) bind(C, name="weft_skipped_count") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t) :: returned
        end function
        function c_weft_unscale(o) bind(C, name="weft_unscale") result(returned)
            import
            type(weft_optimizer), value :: o
            integer(c_int) :: returned
        end function
        function weft_gradient(t) bind(C, name="weft_gradient") result(returned)
            import
            type(weft_tensor), value :: t
            type(weft_tensor) :: returned
        end function
        function weft_grad(y, x) bind(C, name="weft_grad") result(returned)
            import
            type(weft_tensor), value :: y
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        subroutine weft_eval_begin(f) bind(C, name="weft_eval_begin")
            import
            type(weft_fabric), value :: f
        end subroutine
        subroutine weft_eval_end(f) bind(C, name="weft_eval_end")
            import
            type(weft_fabric), value :: f
        end subroutine
        function c_weft_gradcheck(f, fn, user, n, x, eps, tolerance, worst) bind(C, name="weft_gradcheck") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_funptr), value :: fn
            type(c_ptr), value :: user
            integer(c_int), value :: n
            type(weft_tensor), intent(in) :: x(*)
            real(c_double), value :: eps
            real(c_double), value :: tolerance
            real(c_double), intent(inout) :: worst
            integer(c_int) :: returned
        end function
        function c_weft_dtype_size(t) bind(C, name="weft_dtype_size") result(returned)
            import
            integer(c_int), value :: t
            integer(c_size_t) :: returned
        end function
        function c_weft_dtype_name(t) bind(C, name="weft_dtype_name") result(returned)
            import
            integer(c_int), value :: t
            type(c_ptr) :: returned
        end function
        function c_weft_save(f, dir) bind(C, name="weft_save") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: dir(*)
            integer(c_int) :: returned
        end function
        function c_weft_save_async(f, dir) bind(C, name="weft_save_async") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: dir(*)
            integer(c_int) :: returned
        end function
        function c_weft_resume(f, dir) bind(C, name="weft_resume") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: dir(*)
            integer(c_int) :: returned
        end function
        function c_weft_load(f, checkpoint) bind(C, name="weft_load") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: checkpoint(*)
            integer(c_int) :: returned
        end function
        function c_weft_load_raw(f, checkpoint, m, o) bind(C, name="weft_load_raw") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: checkpoint(*)
            type(weft_module), value :: m
            type(weft_load_raw_options), intent(in), optional :: o
            integer(c_int) :: returned
        end function
        function c_weft_track_f64(f, name, values, n) bind(C, name="weft_track_f64") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: name(*)
            real(c_double), intent(inout) :: values(*)
            integer(c_int64_t), value :: n
            integer(c_int) :: returned
        end function
        function c_weft_track_i64(f, name, values, n) bind(C, name="weft_track_i64") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: name(*)
            integer(c_int64_t), intent(inout) :: values(*)
            integer(c_int64_t), value :: n
            integer(c_int) :: returned
        end function
        function weft_all_gather(f, x) bind(C, name="weft_all_gather") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_all_gather_rows(f, x) bind(C, name="weft_all_gather_rows") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function c_weft_all_reduce(f, x, op) bind(C, name="weft_all_reduce") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_tensor), value :: x
            character(kind=c_char), intent(in) :: op(*)
            type(weft_tensor) :: returned
        end function
        function weft_broadcast(f, x, src) bind(C, name="weft_broadcast") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_tensor), value :: x
            integer(c_int), value :: src
            type(weft_tensor) :: returned
        end function
        function c_weft_broadcast_bytes(f, data, bytes, src) bind(C, name="weft_broadcast_bytes") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr), value :: data
            integer(c_size_t), value :: bytes
            integer(c_int), value :: src
            integer(c_int) :: returned
        end function
        function c_weft_broadcast_text(f, text, capacity, src) bind(C, name="weft_broadcast_text") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: text(*)
            integer(c_size_t), value :: capacity
            integer(c_int), value :: src
            integer(c_int) :: returned
        end function
        function c_weft_reduce_boolean_decision(f, decision, all) bind(C, &
                name="weft_reduce_boolean_decision") result(returned)
            import
            type(weft_fabric), value :: f
            logical(c_bool), value :: decision
            logical(c_bool), value :: all
            logical(c_bool) :: returned
        end function
        function c_weft_sum_over_ranks(f, values, n) bind(C, name="weft_sum_over_ranks") result(returned)
            import
            type(weft_fabric), value :: f
            real(c_double), intent(inout) :: values(*)
            integer(c_int64_t), value :: n
            integer(c_int) :: returned
        end function
        function c_weft_barrier(f) bind(C, name="weft_barrier") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function c_weft_barrier_named(f, name) bind(C, name="weft_barrier_named") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: name(*)
            integer(c_int) :: returned
        end function
        function c_weft_rank_zero_first_begin(f, local) bind(C, name="weft_rank_zero_first_begin") result(returned)
            import
            type(weft_fabric), value :: f
            logical(c_bool), value :: local
            integer(c_int) :: returned
        end function
        function c_weft_rank_zero_first_end(f) bind(C, name="weft_rank_zero_first_end") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function weft_conv2d(x, weight, bias, o) bind(C, name="weft_conv2d") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: weight
            type(weft_tensor), value :: bias
            type(weft_conv_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_conv1d(x, weight, bias, o) bind(C, name="weft_conv1d") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: weight
            type(weft_tensor), value :: bias
            type(weft_conv_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_max_pool2d(x, o) bind(C, name="weft_max_pool2d") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_pool_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_avg_pool2d(x, o) bind(C, name="weft_avg_pool2d") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_pool_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function c_weft_adaptive_avg_pool2d(x, height, width) bind(C, name="weft_adaptive_avg_pool2d") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int64_t), value :: height
            integer(c_int64_t), value :: width
            type(weft_tensor) :: returned
        end function
        function weft_global_avg_pool(x) bind(C, name="weft_global_avg_pool") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function c_weft_nn_conv2d(f, in, out, kernel, o) bind(C, name="weft_nn_conv2d") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: in
            integer(c_int64_t), value :: out
            integer(c_int64_t), value :: kernel
            type(weft_conv_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function weft_nn_max_pool2d(f, o) bind(C, name="weft_nn_max_pool2d") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_pool_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function weft_nn_avg_pool2d(f, o) bind(C, name="weft_nn_avg_pool2d") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_pool_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function c_weft_nn_adaptive_avg_pool2d(f, height, width) bind(C, &
                name="weft_nn_adaptive_avg_pool2d") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: height
            integer(c_int64_t), value :: width
            type(weft_module) :: returned
        end function
        function weft_nn_global_avg_pool(f) bind(C, name="weft_nn_global_avg_pool") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function c_weft_batch_field(b, name) bind(C, name="weft_batch_field") result(returned)
            import
            type(weft_batch), intent(in), optional :: b
            character(kind=c_char), intent(in) :: name(*)
            type(weft_tensor) :: returned
        end function
        function c_weft_rows_uniform(r, i, k) bind(C, name="weft_rows_uniform") result(returned)
            import
            type(weft_rows), intent(in), optional :: r
            integer(c_int64_t), value :: i
            integer(c_int64_t), value :: k
            real(c_double) :: returned
        end function
        function c_weft_loader_hdf5(f, path, o) bind(C, name="weft_loader_hdf5") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: path(*)
            type(weft_loader_options), intent(in), optional :: o
            type(weft_loader) :: returned
        end function
        function c_weft_loader_arrays(f, rows, x, xrank, xshape, xtype, y, ytype, o) bind(C, &
                name="weft_loader_arrays") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: rows
            type(c_ptr), value :: x
            integer(c_int), value :: xrank
            integer(c_int64_t), intent(in) :: xshape(*)
            integer(c_int), value :: xtype
            type(c_ptr), value :: y
            integer(c_int), value :: ytype
            type(weft_loader_options), intent(in), optional :: o
            type(weft_loader) :: returned
        end function
        function c_weft_loader_fields(f, rows, fields, array, o) bind(C, name="weft_loader_fields") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: rows
            integer(c_int), value :: fields
            type(weft_array), intent(in), optional :: array
            type(weft_loader_options), intent(in), optional :: o
            type(weft_loader) :: returned
        end function
        function c_weft_loader_idx(f, x, y, o) bind(C, name="weft_loader_idx") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: x(*)
            character(kind=c_char), intent(in) :: y(*)
            type(weft_loader_options), intent(in), optional :: o
            type(weft_loader) :: returned
        end function
        function c_weft_loader_tokens(f, path, t, o) bind(C, name="weft_loader_tokens") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: path(*)
            type(weft_token_options), intent(in), optional :: t
            type(weft_loader_options), intent(in), optional :: o
            type(weft_loader) :: returned
        end function
        function c_weft_next(l, b) bind(C, name="weft_next") result(returned)
            import
            type(weft_loader), value :: l
            type(weft_batch), intent(inout) :: b
            logical(c_bool) :: returned
        end function
        function c_weft_rewind(l) bind(C, name="weft_rewind") result(returned)
            import
            type(weft_loader), value :: l
            integer(c_int) :: returned
        end function
        function weft_loader_rows(l) bind(C, name="weft_loader_rows") result(returned)
            import
            type(weft_loader), value :: l
            integer(c_int64_t) :: returned
        end function
        function weft_loader_batches(l) bind(C, name="weft_loader_batches") result(returned)
            import
            type(weft_loader), value :: l
            integer(c_int64_t) :: returned
        end function
        function weft_loader_epochs(l) bind(C, name="weft_loader_epochs") result(returned)
            import
            type(weft_loader), value :: l
            integer(c_int64_t) :: returned
        end function
        function weft_loader_position(l) bind(C, name="weft_loader_position") result(returned)
            import
            type(weft_loader), value :: l
            integer(c_int64_t) :: returned
        end function
        function c_weft_batch_of(f, x, y, base, global_rows) bind(C, name="weft_batch_of") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_tensor), value :: x
            type(weft_tensor), value :: y
            integer(c_int64_t), value :: base
            integer(c_int64_t), value :: global_rows
            type(weft_batch) :: returned
        end function
        function c_weft_join(f, more) bind(C, name="weft_join") result(returned)
            import
            type(weft_fabric), value :: f
            logical(c_bool), value :: more
            logical(c_bool) :: returned
        end function
        function c_weft_open(f, argc, argv, o) bind(C, name="weft_open") result(returned)
            import
            type(weft_fabric), intent(inout) :: f
            integer(c_int), intent(inout) :: argc
            type(c_ptr), intent(inout) :: argv
            type(weft_open_options), intent(in), optional :: o
            integer(c_int) :: returned
        end function
        function c_weft_open_text(f, argc, argv, options) bind(C, name="weft_open_text") result(returned)
            import
            type(weft_fabric), intent(inout) :: f
            integer(c_int), intent(inout) :: argc
            type(c_ptr), intent(inout) :: argv
            character(kind=c_char), intent(in) :: options(*)
            integer(c_int) :: returned
        end function
        function weft_close(f) bind(C, name="weft_close") result(returned)
            import
            type(weft_fabric), intent(inout) :: f
            integer(c_int) :: returned
        end function
        function c_weft_setup(f, m, o) bind(C, name="weft_setup") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module), value :: m
            type(weft_optimizer), value :: o
            integer(c_int) :: returned
        end function
        function c_weft_setup_module(f, m) bind(C, name="weft_setup_module") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module), value :: m
            integer(c_int) :: returned
        end function
        function c_weft_setup_optimizer(f, o) bind(C, name="weft_setup_optimizer") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_optimizer), value :: o
            integer(c_int) :: returned
        end function
        function c_weft_setup_loader(f, l) bind(C, name="weft_setup_loader") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_loader), value :: l
            integer(c_int) :: returned
        end function
        function c_weft_step_end(f) bind(C, name="weft_step_end") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function c_weft_every(f, n) bind(C, name="weft_every") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            logical(c_bool) :: returned
        end function
        function weft_step_count(f) bind(C, name="weft_step_count") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t) :: returned
        end function
        function weft_global_rank(f) bind(C, name="weft_global_rank") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function weft_local_rank(f) bind(C, name="weft_local_rank") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function weft_node_rank(f) bind(C, name="weft_node_rank") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function weft_world_size(f) bind(C, name="weft_world_size") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function weft_local_world_size(f) bind(C, name="weft_local_world_size") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function weft_num_nodes(f) bind(C, name="weft_num_nodes") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function c_weft_is_global_zero(f) bind(C, name="weft_is_global_zero") result(returned)
            import
            type(weft_fabric), value :: f
            logical(c_bool) :: returned
        end function
        function weft_threads(f) bind(C, name="weft_threads") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function weft_seed(f) bind(C, name="weft_seed") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t) :: returned
        end function
        function c_weft_accelerator_name(f) bind(C, name="weft_accelerator_name") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr) :: returned
        end function
        function c_weft_strategy_name(f) bind(C, name="weft_strategy_name") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr) :: returned
        end function
        function c_weft_precision_name(f) bind(C, name="weft_precision_name") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr) :: returned
        end function
        function c_weft_process_group_backend(f) bind(C, name="weft_process_group_backend") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr) :: returned
        end function
        function c_weft_device_name(f) bind(C, name="weft_device_name") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr) :: returned
        end function
        function c_weft_kernel_set(f) bind(C, name="weft_kernel_set") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr) :: returned
        end function
        function c_weft_hostname(f) bind(C, name="weft_hostname") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr) :: returned
        end function
        function weft_logger_count(f) bind(C, name="weft_logger_count") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function weft_logger_at(f, i) bind(C, name="weft_logger_at") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int), value :: i
            type(weft_logger) :: returned
        end function
        function c_weft_seed_everything(f, seed) bind(C, name="weft_seed_everything") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: seed
            integer(c_int) :: returned
        end function
        function weft_to_device(f, x) bind(C, name="weft_to_device") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_batch_to_device(f, b) bind(C, name="weft_batch_to_device") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_batch), value :: b
            type(weft_batch) :: returned
        end function
        subroutine weft_autocast_begin(f) bind(C, name="weft_autocast_begin")
            import
            type(weft_fabric), value :: f
        end subroutine
        subroutine weft_autocast_end(f) bind(C, name="weft_autocast_end")
            import
            type(weft_fabric), value :: f
        end subroutine
        function weft_timing_take(f) bind(C, name="weft_timing_take") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_timing) :: returned
        end function
        function weft_traffic_count(f) bind(C, name="weft_traffic_count") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_traffic) :: returned
        end function
        subroutine weft_log_to(fn, user) bind(C, name="weft_log_to")
            import
            type(c_funptr), value :: fn
            type(c_ptr), value :: user
        end subroutine
        subroutine c_weft_log_level(level) bind(C, name="weft_log_level")
            import
            integer(c_int), value :: level
        end subroutine
        function c_weft_log(f, name, value) bind(C, name="weft_log") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: name(*)
            type(weft_tensor), value :: value
            integer(c_int) :: returned
        end function
        function c_weft_log_dict_n(f, n, metrics) bind(C, name="weft_log_dict_n") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_size_t), value :: n
            type(weft_named), intent(in), optional :: metrics
            integer(c_int) :: returned
        end function
        function c_weft_log_value(f, name, value) bind(C, name="weft_log_value") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: name(*)
            real(c_double), value :: value
            integer(c_int) :: returned
        end function
        function c_weft_log_timing(f) bind(C, name="weft_log_timing") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function c_weft_logger_csv(f, path) bind(C, name="weft_logger_csv") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: path(*)
            type(weft_logger) :: returned
        end function
        function c_weft_logger_jsonl(f, path) bind(C, name="weft_logger_jsonl") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: path(*)
            type(weft_logger) :: returned
        end function
        function weft_logger_console(f) bind(C, name="weft_logger_console") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_logger) :: returned
        end function
        function weft_logger_null(f) bind(C, name="weft_logger_null") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_logger) :: returned
        end function
        function weft_cross_entropy(logits, labels) bind(C, name="weft_cross_entropy") result(returned)
            import
            type(weft_tensor), value :: logits
            type(weft_tensor), value :: labels
            type(weft_tensor) :: returned
        end function
        function weft_cross_entropy_sum(logits, labels) bind(C, name="weft_cross_entropy_sum") result(returned)
            import
            type(weft_tensor), value :: logits
            type(weft_tensor), value :: labels
            type(weft_tensor) :: returned
        end function
        function weft_cross_entropy_with(logits, labels, o) bind(C, name="weft_cross_entropy_with") result(returned)
            import
            type(weft_tensor), value :: logits
            type(weft_tensor), value :: labels
            type(weft_cross_entropy_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_nll_loss(log_probs, labels, o) bind(C, name="weft_nll_loss") result(returned)
            import
            type(weft_tensor), value :: log_probs
            type(weft_tensor), value :: labels
            type(weft_cross_entropy_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_linear_cross_entropy(x, weight, bias, labels, o) bind(C, &
                name="weft_linear_cross_entropy") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: weight
            type(weft_tensor), value :: bias
            type(weft_tensor), value :: labels
            type(weft_linear_cross_entropy_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_mse_loss(x, y, o) bind(C, name="weft_mse_loss") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: y
            type(weft_loss_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_l1_loss(x, y, o) bind(C, name="weft_l1_loss") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: y
            type(weft_loss_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_huber_loss(x, y, o) bind(C, name="weft_huber_loss") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: y
            type(weft_loss_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_smooth_l1_loss(x, y, o) bind(C, name="weft_smooth_l1_loss") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: y
            type(weft_loss_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_bce_with_logits(x, y, o) bind(C, name="weft_bce_with_logits") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: y
            type(weft_loss_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_kl_div(x, y, o) bind(C, name="weft_kl_div") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: y
            type(weft_loss_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function c_weft_memory_name(kind) bind(C, name="weft_memory_name") result(returned)
            import
            integer(c_int), value :: kind
            type(c_ptr) :: returned
        end function
        function weft_memory(f) bind(C, name="weft_memory") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_memory_report) :: returned
        end function
        subroutine weft_memory_reset_peak(f) bind(C, name="weft_memory_reset_peak")
            import
            type(weft_fabric), value :: f
        end subroutine
        function weft_metric_accuracy(f, o) bind(C, name="weft_metric_accuracy") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_accuracy_options), intent(in), optional :: o
            type(weft_metric) :: returned
        end function
        function c_weft_metric_confusion(f, classes) bind(C, name="weft_metric_confusion") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: classes
            type(weft_metric) :: returned
        end function
        function weft_metric_mean(f) bind(C, name="weft_metric_mean") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_metric) :: returned
        end function
        function weft_metric_sum(f) bind(C, name="weft_metric_sum") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_metric) :: returned
        end function
        function weft_metric_min(f) bind(C, name="weft_metric_min") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_metric) :: returned
        end function
        function weft_metric_max(f) bind(C, name="weft_metric_max") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_metric) :: returned
        end function
        function c_weft_metric_update(m, x, y) bind(C, name="weft_metric_update") result(returned)
            import
            type(weft_metric), value :: m
            type(weft_tensor), value :: x
            type(weft_tensor), value :: y
            integer(c_int) :: returned
        end function
        function weft_metric_value(f, m) bind(C, name="weft_metric_value") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_metric), value :: m
            real(c_double) :: returned
        end function
        function c_weft_metric_counts(f, m, out, n) bind(C, name="weft_metric_counts") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_metric), value :: m
            integer(c_int64_t), intent(inout) :: out(*)
            integer(c_int64_t), value :: n
            integer(c_int) :: returned
        end function
        function c_weft_metric_reset(m) bind(C, name="weft_metric_reset") result(returned)
            import
            type(weft_metric), value :: m
            integer(c_int) :: returned
        end function
        function c_weft_open_mpi_f(f, comm, o) bind(C, name="weft_open_mpi_f") result(returned)
            import
            type(weft_fabric), intent(inout) :: f
            integer(c_int), value :: comm
            type(weft_open_options), intent(in), optional :: o
            integer(c_int) :: returned
        end function
        function c_weft_nn_linear(f, in, out) bind(C, name="weft_nn_linear") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: in
            integer(c_int64_t), value :: out
            type(weft_module) :: returned
        end function
        function c_weft_nn_linear_nobias(f, in, out) bind(C, name="weft_nn_linear_nobias") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: in
            integer(c_int64_t), value :: out
            type(weft_module) :: returned
        end function
        function c_weft_nn_layernorm(f, n) bind(C, name="weft_nn_layernorm") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            type(weft_module) :: returned
        end function
        function c_weft_nn_layernorm_with(f, rank, shape, o) bind(C, name="weft_nn_layernorm_with") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int), value :: rank
            integer(c_int64_t), intent(in) :: shape(*)
            type(weft_layernorm_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function c_weft_nn_rmsnorm(f, n) bind(C, name="weft_nn_rmsnorm") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            type(weft_module) :: returned
        end function
        function c_weft_nn_rmsnorm_with(f, rank, shape, o) bind(C, name="weft_nn_rmsnorm_with") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int), value :: rank
            integer(c_int64_t), intent(in) :: shape(*)
            type(weft_rmsnorm_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function c_weft_nn_swiglu(f, in, hidden, out) bind(C, name="weft_nn_swiglu") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: in
            integer(c_int64_t), value :: hidden
            integer(c_int64_t), value :: out
            type(weft_module) :: returned
        end function
        function c_weft_nn_batchnorm(f, n) bind(C, name="weft_nn_batchnorm") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            type(weft_module) :: returned
        end function
        function c_weft_nn_batchnorm_with(f, n, o) bind(C, name="weft_nn_batchnorm_with") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            type(weft_batchnorm_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function c_weft_nn_sync_batchnorm(m) bind(C, name="weft_nn_sync_batchnorm") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int) :: returned
        end function
        function c_weft_nn_groupnorm(f, groups, n) bind(C, name="weft_nn_groupnorm") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: groups
            integer(c_int64_t), value :: n
            type(weft_module) :: returned
        end function
        function c_weft_nn_groupnorm_with(f, groups, n, o) bind(C, name="weft_nn_groupnorm_with") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: groups
            integer(c_int64_t), value :: n
            type(weft_groupnorm_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function c_weft_nn_instancenorm(f, n) bind(C, name="weft_nn_instancenorm") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            type(weft_module) :: returned
        end function
        function c_weft_nn_embedding(f, n, dim) bind(C, name="weft_nn_embedding") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            integer(c_int64_t), value :: dim
            type(weft_module) :: returned
        end function
        function c_weft_nn_embedding_padded(f, n, dim, padding_idx) bind(C, &
                name="weft_nn_embedding_padded") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            integer(c_int64_t), value :: dim
            integer(c_int64_t), value :: padding_idx
            type(weft_module) :: returned
        end function
        function c_weft_nn_positions(f, most, n) bind(C, name="weft_nn_positions") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: most
            integer(c_int64_t), value :: n
            type(weft_module) :: returned
        end function
        function c_weft_nn_attention(f, n, heads, o) bind(C, name="weft_nn_attention") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int64_t), value :: n
            integer(c_int64_t), value :: heads
            type(weft_nn_attention_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function weft_nn_dropout(f, p) bind(C, name="weft_nn_dropout") result(returned)
            import
            type(weft_fabric), value :: f
            real(c_double), value :: p
            type(weft_module) :: returned
        end function
        function weft_nn_identity(f) bind(C, name="weft_nn_identity") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_flatten(f) bind(C, name="weft_nn_flatten") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_residual(f, body) bind(C, name="weft_nn_residual") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module), value :: body
            type(weft_module) :: returned
        end function
        function c_weft_nn_activation(f, name) bind(C, name="weft_nn_activation") result(returned)
            import
            type(weft_fabric), value :: f
            character(kind=c_char), intent(in) :: name(*)
            type(weft_module) :: returned
        end function
        function c_weft_nn_mlp(f, n, sizes, o) bind(C, name="weft_nn_mlp") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int), value :: n
            integer(c_int64_t), intent(in) :: sizes(*)
            type(weft_mlp_options), intent(in), optional :: o
            type(weft_module) :: returned
        end function
        function weft_nn_relu(f) bind(C, name="weft_nn_relu") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_softmax(f) bind(C, name="weft_nn_softmax") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_log_softmax(f) bind(C, name="weft_nn_log_softmax") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_gelu(f) bind(C, name="weft_nn_gelu") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_gelu_tanh(f) bind(C, name="weft_nn_gelu_tanh") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_silu(f) bind(C, name="weft_nn_silu") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_sigmoid(f) bind(C, name="weft_nn_sigmoid") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function weft_nn_tanh(f) bind(C, name="weft_nn_tanh") result(returned)
            import
            type(weft_fabric), value :: f
            type(weft_module) :: returned
        end function
        function c_weft_nn_sequential_n(f, n, modules) bind(C, name="weft_nn_sequential_n") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_size_t), value :: n
            type(weft_module), intent(in) :: modules(*)
            type(weft_module) :: returned
        end function
        function weft_forward(m, x) bind(C, name="weft_forward") result(returned)
            import
            type(weft_module), value :: m
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function c_weft_infer(m, x, rank, shape, xtype, y, numel, ytype) bind(C, name="weft_infer") result(returned)
            import
            type(weft_module), value :: m
            type(c_ptr), value :: x
            integer(c_int), value :: rank
            integer(c_int64_t), intent(in) :: shape(*)
            integer(c_int), value :: xtype
            type(c_ptr), value :: y
            integer(c_int64_t), value :: numel
            integer(c_int), value :: ytype
            integer(c_int) :: returned
        end function
        subroutine c_weft_train(m, training) bind(C, name="weft_train")
            import
            type(weft_module), value :: m
            logical(c_bool), value :: training
        end subroutine
        function c_weft_is_training(m) bind(C, name="weft_is_training") result(returned)
            import
            type(weft_module), value :: m
            logical(c_bool) :: returned
        end function
        subroutine c_weft_recompute(m, on) bind(C, name="weft_recompute")
            import
            type(weft_module), value :: m
            logical(c_bool), value :: on
        end subroutine
        function c_weft_is_recomputing(m) bind(C, name="weft_is_recomputing") result(returned)
            import
            type(weft_module), value :: m
            logical(c_bool) :: returned
        end function
        function weft_param_count(m) bind(C, name="weft_param_count") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int64_t) :: returned
        end function
        function weft_param_elements(m) bind(C, name="weft_param_elements") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int64_t) :: returned
        end function
        function c_weft_param_name(m, i) bind(C, name="weft_param_name") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int64_t), value :: i
            type(c_ptr) :: returned
        end function
        function c_weft_param(m, name) bind(C, name="weft_param") result(returned)
            import
            type(weft_module), value :: m
            character(kind=c_char), intent(in) :: name(*)
            type(weft_tensor) :: returned
        end function
        function weft_buffer_count(m) bind(C, name="weft_buffer_count") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int64_t) :: returned
        end function
        function c_weft_buffer_name(m, i) bind(C, name="weft_buffer_name") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int64_t), value :: i
            type(c_ptr) :: returned
        end function
        function c_weft_buffer(m, name) bind(C, name="weft_buffer") result(returned)
            import
            type(weft_module), value :: m
            character(kind=c_char), intent(in) :: name(*)
            type(weft_tensor) :: returned
        end function
        function c_weft_freeze(m, frozen) bind(C, name="weft_freeze") result(returned)
            import
            type(weft_module), value :: m
            logical(c_bool), value :: frozen
            integer(c_int) :: returned
        end function
        function c_weft_tie(m, name, other) bind(C, name="weft_tie") result(returned)
            import
            type(weft_module), value :: m
            character(kind=c_char), intent(in) :: name(*)
            character(kind=c_char), intent(in) :: other(*)
            integer(c_int) :: returned
        end function
        function c_weft_init_param(m, name, o) bind(C, name="weft_init_param") result(returned)
            import
            type(weft_module), value :: m
            character(kind=c_char), intent(in) :: name(*)
            type(weft_initializer_options), intent(in), optional :: o
            integer(c_int) :: returned
        end function
        function c_weft_module_at(m, path) bind(C, name="weft_module_at") result(returned)
            import
            type(weft_module), value :: m
            character(kind=c_char), intent(in) :: path(*)
            type(weft_module) :: returned
        end function
        function weft_children(m) bind(C, name="weft_children") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int64_t) :: returned
        end function
        function c_weft_child(m, i) bind(C, name="weft_child") result(returned)
            import
            type(weft_module), value :: m
            integer(c_int64_t), value :: i
            type(weft_module) :: returned
        end function
        function c_weft_module_name(m) bind(C, name="weft_module_name") result(returned)
            import
            type(weft_module), value :: m
            type(c_ptr) :: returned
        end function
        function c_weft_module_kind(m) bind(C, name="weft_module_kind") result(returned)
            import
            type(weft_module), value :: m
            type(c_ptr) :: returned
        end function
        function weft_add(a, b) bind(C, name="weft_add") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_sub(a, b) bind(C, name="weft_sub") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_mul(a, b) bind(C, name="weft_mul") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_div(a, b) bind(C, name="weft_div") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_pow(a, b) bind(C, name="weft_pow") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_maximum(a, b) bind(C, name="weft_maximum") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_minimum(a, b) bind(C, name="weft_minimum") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_eq(a, b) bind(C, name="weft_eq") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_ne(a, b) bind(C, name="weft_ne") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_lt(a, b) bind(C, name="weft_lt") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_le(a, b) bind(C, name="weft_le") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_gt(a, b) bind(C, name="weft_gt") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_ge(a, b) bind(C, name="weft_ge") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_where(condition, a, b) bind(C, name="weft_where") result(returned)
            import
            type(weft_tensor), value :: condition
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_scale(x, alpha) bind(C, name="weft_scale") result(returned)
            import
            type(weft_tensor), value :: x
            real(c_double), value :: alpha
            type(weft_tensor) :: returned
        end function
        function weft_matmul(a, b) bind(C, name="weft_matmul") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_linear(x, w, b) bind(C, name="weft_linear") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: w
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_linear_relu(x, w, b) bind(C, name="weft_linear_relu") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: w
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_linear_gelu_tanh(x, w, b) bind(C, name="weft_linear_gelu_tanh") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: w
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_mlp_gelu_tanh(x, w, b, v, d) bind(C, name="weft_mlp_gelu_tanh") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: w
            type(weft_tensor), value :: b
            type(weft_tensor), value :: v
            type(weft_tensor), value :: d
            type(weft_tensor) :: returned
        end function
        function weft_relu(x) bind(C, name="weft_relu") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_neg(x) bind(C, name="weft_neg") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_abs(x) bind(C, name="weft_abs") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_exp(x) bind(C, name="weft_exp") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_ln(x) bind(C, name="weft_ln") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_sqrt(x) bind(C, name="weft_sqrt") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_sin(x) bind(C, name="weft_sin") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_cos(x) bind(C, name="weft_cos") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_pow_scalar(x, exponent) bind(C, name="weft_pow_scalar") result(returned)
            import
            type(weft_tensor), value :: x
            real(c_double), value :: exponent
            type(weft_tensor) :: returned
        end function
        function weft_clamp(x, min, max) bind(C, name="weft_clamp") result(returned)
            import
            type(weft_tensor), value :: x
            real(c_double), value :: min
            real(c_double), value :: max
            type(weft_tensor) :: returned
        end function
        function weft_sigmoid(x) bind(C, name="weft_sigmoid") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_tanh(x) bind(C, name="weft_tanh") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_silu(x) bind(C, name="weft_silu") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_gelu(x) bind(C, name="weft_gelu") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_gelu_tanh(x) bind(C, name="weft_gelu_tanh") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function c_weft_reshape(x, rank, shape) bind(C, name="weft_reshape") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: rank
            integer(c_int64_t), intent(in) :: shape(*)
            type(weft_tensor) :: returned
        end function
        function weft_transpose(x, a, b) bind(C, name="weft_transpose") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: a
            integer(c_int), value :: b
            type(weft_tensor) :: returned
        end function
        function c_weft_permute(x, rank, dims) bind(C, name="weft_permute") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: rank
            integer(c_int), intent(in) :: dims(*)
            type(weft_tensor) :: returned
        end function
        function weft_squeeze(x, dim) bind(C, name="weft_squeeze") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function weft_unsqueeze(x, dim) bind(C, name="weft_unsqueeze") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function c_weft_slice(x, dim, start, stop, step) bind(C, name="weft_slice") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            integer(c_int64_t), value :: start
            integer(c_int64_t), value :: stop
            integer(c_int64_t), value :: step
            type(weft_tensor) :: returned
        end function
        function c_weft_concat_n(n, x, dim) bind(C, name="weft_concat_n") result(returned)
            import
            integer(c_size_t), value :: n
            type(weft_tensor), intent(in) :: x(*)
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function weft_gather(x, dim, index) bind(C, name="weft_gather") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor), value :: index
            type(weft_tensor) :: returned
        end function
        function weft_sum(x, dim) bind(C, name="weft_sum") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function weft_mean(x, dim) bind(C, name="weft_mean") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function weft_max(x, dim) bind(C, name="weft_max") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function weft_min(x, dim) bind(C, name="weft_min") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function weft_argmax(x, dim) bind(C, name="weft_argmax") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function weft_argmin(x, dim) bind(C, name="weft_argmin") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dim
            type(weft_tensor) :: returned
        end function
        function weft_softmax(x) bind(C, name="weft_softmax") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_log_softmax(x) bind(C, name="weft_log_softmax") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor) :: returned
        end function
        function weft_layernorm(x, dims, weight, bias, eps) bind(C, name="weft_layernorm") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dims
            type(weft_tensor), value :: weight
            type(weft_tensor), value :: bias
            real(c_double), value :: eps
            type(weft_tensor) :: returned
        end function
        function weft_add_layernorm(x, r, dims, weight, bias, eps, sum) bind(C, name="weft_add_layernorm") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: r
            integer(c_int), value :: dims
            type(weft_tensor), value :: weight
            type(weft_tensor), value :: bias
            real(c_double), value :: eps
            type(weft_tensor), intent(inout) :: sum
            type(weft_tensor) :: returned
        end function
        function weft_rmsnorm(x, dims, weight, eps) bind(C, name="weft_rmsnorm") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dims
            type(weft_tensor), value :: weight
            real(c_double), value :: eps
            type(weft_tensor) :: returned
        end function
        function weft_swiglu(a, b) bind(C, name="weft_swiglu") result(returned)
            import
            type(weft_tensor), value :: a
            type(weft_tensor), value :: b
            type(weft_tensor) :: returned
        end function
        function weft_batchnorm(x, weight, bias, eps, running) bind(C, name="weft_batchnorm") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_tensor), value :: weight
            type(weft_tensor), value :: bias
            real(c_double), value :: eps
            type(weft_running), intent(in), optional :: running
            type(weft_tensor) :: returned
        end function
        function c_weft_groupnorm(x, groups, weight, bias, eps) bind(C, name="weft_groupnorm") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int64_t), value :: groups
            type(weft_tensor), value :: weight
            type(weft_tensor), value :: bias
            real(c_double), value :: eps
            type(weft_tensor) :: returned
        end function
        function c_weft_embedding(indices, weight, padding_idx) bind(C, name="weft_embedding") result(returned)
            import
            type(weft_tensor), value :: indices
            type(weft_tensor), value :: weight
            integer(c_int64_t), value :: padding_idx
            type(weft_tensor) :: returned
        end function
        function c_weft_dropout(x, p, training) bind(C, name="weft_dropout") result(returned)
            import
            type(weft_tensor), value :: x
            real(c_double), value :: p
            logical(c_bool), value :: training
            type(weft_tensor) :: returned
        end function
        function weft_attention(q, k, v, o) bind(C, name="weft_attention") result(returned)
            import
            type(weft_tensor), value :: q
            type(weft_tensor), value :: k
            type(weft_tensor), value :: v
            type(weft_attention_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function c_weft_attention_packed(qkv, heads, kv_heads, o) bind(C, name="weft_attention_packed") result(returned)
            import
            type(weft_tensor), value :: qkv
            integer(c_int64_t), value :: heads
            integer(c_int64_t), value :: kv_heads
            type(weft_attention_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function weft_rotary(x, o) bind(C, name="weft_rotary") result(returned)
            import
            type(weft_tensor), value :: x
            type(weft_rotary_options), intent(in), optional :: o
            type(weft_tensor) :: returned
        end function
        function c_weft_cast(x, dtype) bind(C, name="weft_cast") result(returned)
            import
            type(weft_tensor), value :: x
            integer(c_int), value :: dtype
            type(weft_tensor) :: returned
        end function
        function weft_count_correct(logits, labels) bind(C, name="weft_count_correct") result(returned)
            import
            type(weft_tensor), value :: logits
            type(weft_tensor), value :: labels
            type(weft_tensor) :: returned
        end function
        function weft_sgd(m, o) bind(C, name="weft_sgd") result(returned)
            import
            type(weft_module), value :: m
            type(weft_sgd_options), intent(in), optional :: o
            type(weft_optimizer) :: returned
        end function
        function weft_adam(m, o) bind(C, name="weft_adam") result(returned)
            import
            type(weft_module), value :: m
            type(weft_adam_options), intent(in), optional :: o
            type(weft_optimizer) :: returned
        end function
        function weft_adamw(m, o) bind(C, name="weft_adamw") result(returned)
            import
            type(weft_module), value :: m
            type(weft_adam_options), intent(in), optional :: o
            type(weft_optimizer) :: returned
        end function
        function weft_rmsprop(m, o) bind(C, name="weft_rmsprop") result(returned)
            import
            type(weft_module), value :: m
            type(weft_rmsprop_options), intent(in), optional :: o
            type(weft_optimizer) :: returned
        end function
        function weft_adagrad(m, o) bind(C, name="weft_adagrad") result(returned)
            import
            type(weft_module), value :: m
            type(weft_adagrad_options), intent(in), optional :: o
            type(weft_optimizer) :: returned
        end function
        function weft_muon(m, o) bind(C, name="weft_muon") result(returned)
            import
            type(weft_module), value :: m
            type(weft_muon_options), intent(in), optional :: o
            type(weft_optimizer) :: returned
        end function
        function weft_lbfgs(m, o) bind(C, name="weft_lbfgs") result(returned)
            import
            type(weft_module), value :: m
            type(weft_lbfgs_options), intent(in), optional :: o
            type(weft_optimizer) :: returned
        end function
        function c_weft_group(o, pattern, g) bind(C, name="weft_group") result(returned)
            import
            type(weft_optimizer), value :: o
            character(kind=c_char), intent(in) :: pattern(*)
            type(weft_group_options), intent(in), optional :: g
            integer(c_int) :: returned
        end function
        function c_weft_group_module(o, part, g) bind(C, name="weft_group_module") result(returned)
            import
            type(weft_optimizer), value :: o
            type(weft_module), value :: part
            type(weft_group_options), intent(in), optional :: g
            integer(c_int) :: returned
        end function
        function weft_group_count(o) bind(C, name="weft_group_count") result(returned)
            import
            type(weft_optimizer), value :: o
            integer(c_int) :: returned
        end function
        function c_weft_zero_grad(o) bind(C, name="weft_zero_grad") result(returned)
            import
            type(weft_optimizer), value :: o
            integer(c_int) :: returned
        end function
        function c_weft_step(o) bind(C, name="weft_step") result(returned)
            import
            type(weft_optimizer), value :: o
            integer(c_int) :: returned
        end function
        function c_weft_step_closure(o, closure, user) bind(C, name="weft_step_closure") result(returned)
            import
            type(weft_optimizer), value :: o
            type(c_funptr), value :: closure
            type(c_ptr), value :: user
            integer(c_int) :: returned
        end function
        function weft_lr(o) bind(C, name="weft_lr") result(returned)
            import
            type(weft_optimizer), value :: o
            real(c_double) :: returned
        end function
        function weft_group_lr(o, group) bind(C, name="weft_group_lr") result(returned)
            import
            type(weft_optimizer), value :: o
            integer(c_int), value :: group
            real(c_double) :: returned
        end function
        function c_weft_set_lr(o, lr) bind(C, name="weft_set_lr") result(returned)
            import
            type(weft_optimizer), value :: o
            real(c_double), value :: lr
            integer(c_int) :: returned
        end function
        function c_weft_set_group_lr(o, group, lr) bind(C, name="weft_set_group_lr") result(returned)
            import
            type(weft_optimizer), value :: o
            integer(c_int), value :: group
            real(c_double), value :: lr
            integer(c_int) :: returned
        end function
        function weft_steps(o) bind(C, name="weft_steps") result(returned)
            import
            type(weft_optimizer), value :: o
            integer(c_int64_t) :: returned
        end function
        function c_weft_set_schedule(o, s) bind(C, name="weft_set_schedule") result(returned)
            import
            type(weft_optimizer), value :: o
            type(weft_schedule_options), intent(in), optional :: s
            integer(c_int) :: returned
        end function
        function c_weft_schedule_metric(o, value) bind(C, name="weft_schedule_metric") result(returned)
            import
            type(weft_optimizer), value :: o
            real(c_double), value :: value
            integer(c_int) :: returned
        end function
        function c_weft_strerror(code) bind(C, name="weft_strerror") result(returned)
            import
            integer(c_int), value :: code
            type(c_ptr) :: returned
        end function
        function c_weft_status_name(code) bind(C, name="weft_status_name") result(returned)
            import
            integer(c_int), value :: code
            type(c_ptr) :: returned
        end function
        function weft_error(f) bind(C, name="weft_error") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function c_weft_message(f) bind(C, name="weft_message") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr) :: returned
        end function
        function c_weft_clear(f) bind(C, name="weft_clear") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int) :: returned
        end function
        function c_weft_fail_text(f, code, message) bind(C, name="weft_fail_text") result(returned)
            import
            type(weft_fabric), value :: f
            integer(c_int), value :: code
            character(kind=c_char), intent(in) :: message(*)
            integer(c_int) :: returned
        end function
        function c_weft_tensor_of(f, data, rank, shape, dtype) bind(C, name="weft_tensor_of") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr), value :: data
            integer(c_int), value :: rank
            integer(c_int64_t), intent(in) :: shape(*)
            integer(c_int), value :: dtype
            type(weft_tensor) :: returned
        end function
        function c_weft_pin_memory(f, memory, bytes) bind(C, name="weft_pin_memory") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr), value :: memory
            integer(c_size_t), value :: bytes
            integer(c_int) :: returned
        end function
        function c_weft_unpin_memory(f, memory) bind(C, name="weft_unpin_memory") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr), value :: memory
            integer(c_int) :: returned
        end function
        function c_weft_wrap(f, ptr, rank, shape, dtype) bind(C, name="weft_wrap") result(returned)
            import
            type(weft_fabric), value :: f
            type(c_ptr), value :: ptr
            integer(c_int), value :: rank
            integer(c_int64_t), intent(in) :: shape(*)
            integer(c_int), value :: dtype
            type(weft_tensor) :: returned
        end function
        function c_weft_full(f, value, rank, shape, dtype) bind(C, name="weft_full") result(returned)
            import
            type(weft_fabric), value :: f
            real(c_double), value :: value
            integer(c_int), value :: rank
            integer(c_int64_t), intent(in) :: shape(*)
            integer(c_int), value :: dtype
            type(weft_tensor) :: returned
        end function
        function weft_retain(t) bind(C, name="weft_retain") result(returned)
            import
            type(weft_tensor), value :: t
            type(weft_tensor) :: returned
        end function
        subroutine weft_release(t) bind(C, name="weft_release")
            import
            type(weft_tensor), value :: t
        end subroutine
        function weft_detach(t) bind(C, name="weft_detach") result(returned)
            import
            type(weft_tensor), value :: t
            type(weft_tensor) :: returned
        end function
        function c_weft_require_grad(t) bind(C, name="weft_require_grad") result(returned)
            import
            type(weft_tensor), value :: t
            integer(c_int) :: returned
        end function
        function weft_rank_of(t) bind(C, name="weft_rank_of") result(returned)
            import
            type(weft_tensor), value :: t
            integer(c_int) :: returned
        end function
        function weft_dim(t, d) bind(C, name="weft_dim") result(returned)
            import
            type(weft_tensor), value :: t
            integer(c_int), value :: d
            integer(c_int64_t) :: returned
        end function
        function weft_numel(t) bind(C, name="weft_numel") result(returned)
            import
            type(weft_tensor), value :: t
            integer(c_int64_t) :: returned
        end function
        function weft_dtype_of(t) bind(C, name="weft_dtype_of") result(returned)
            import
            type(weft_tensor), value :: t
            integer(c_int) :: returned
        end function
        function c_weft_is_valid(t) bind(C, name="weft_is_valid") result(returned)
            import
            type(weft_tensor), value :: t
            logical(c_bool) :: returned
        end function
        function c_weft_copy_out(t, host, bytes) bind(C, name="weft_copy_out") result(returned)
            import
            type(weft_tensor), value :: t
            type(c_ptr), value :: host
            integer(c_size_t), value :: bytes
            integer(c_int) :: returned
        end function
        function c_weft_copy_in(t, host, bytes) bind(C, name="weft_copy_in") result(returned)
            import
            type(weft_tensor), value :: t
            type(c_ptr), value :: host
            integer(c_size_t), value :: bytes
            integer(c_int) :: returned
        end function
        function weft_data_pointer(t) bind(C, name="weft_data_pointer") result(returned)
            import
            type(weft_tensor), value :: t
            type(c_ptr) :: returned
        end function
        function weft_item(t) bind(C, name="weft_item") result(returned)
            import
            type(weft_tensor), value :: t
            real(c_double) :: returned
        end function
        function c_weft_version() bind(C, name="weft_version") result(returned)
            import
            type(c_ptr) :: returned
        end function
    end interface

    ! Texts that C keeps the address of, each once.
    type, private :: kept
        character(kind=c_char), pointer :: c(:) => null()
        type(kept), pointer :: next => null()
    end type
    type(kept), pointer, save :: texts => null()

contains

    ! The C string of a text, for options. It stays for the life of the program; an equal text has the same address.
    function weft_text(text) result(address)
        character(*), intent(in) :: text
        type(c_ptr) :: address
        type(kept), pointer :: k
        integer :: i
        k => texts
        do while (associated(k))
            if (size(k%c) == len(text) + 1) then
                if (all([(k%c(i) == text(i:i), i=1, len(text))])) exit
            end if
            k => k%next
        end do
        if (.not. associated(k)) then
            allocate (k)
            allocate (k%c(len(text) + 1))
            do i = 1, len(text)
                k%c(i) = text(i:i)
            end do
            k%c(len(text) + 1) = c_null_char
            k%next => texts
            texts => k
        end if
        address = c_loc(k%c(1))
    end function

    ! A C string as a text; "" for NULL.
    function text_of(address) result(text)
        type(c_ptr), intent(in) :: address
        character(:), allocatable :: text
        character(kind=c_char), pointer :: c(:)
        integer(c_size_t) :: i, n
        n = 0
        if (c_associated(address)) n = c_strlen(address)
        allocate (character(n) :: text)
        if (n == 0) return
        call c_f_pointer(address, c, [n])
        do i = 1, n
            text(i:i) = c(i)
        end do
    end function

    subroutine give(to, code)
        integer, intent(out), optional :: to
        integer(c_int), intent(in) :: code
        if (present(to)) to = code
    end subroutine

    ! argv as C has it; the words stay, as Weft borrows them.
    function command_line() result(argv)
        type(c_ptr), allocatable :: argv(:)
        character(:), allocatable :: word
        integer :: i, length
        allocate (argv(command_argument_count() + 2))
        argv = c_null_ptr
        do i = 0, size(argv) - 2
            call get_command_argument(i, length=length)
            allocate (character(length) :: word)
            if (length > 0) call get_command_argument(i, word)
            argv(i + 1) = weft_text(word)
            deallocate (word)
        end do
    end function

    subroutine weft_open(f, options, status)
        type(weft_fabric), intent(inout) :: f
        type(weft_open_options), intent(in), optional :: options
        integer, intent(out), optional :: status
        type(c_ptr), allocatable, target :: argv(:)
        integer(c_int) :: argc
        type(c_ptr) :: first
        argv = command_line()
        argc = size(argv) - 1
        first = c_loc(argv)
        call give(status, c_weft_open(f, argc, first, options))
    end subroutine

    subroutine weft_open_text(f, options, status)
        type(weft_fabric), intent(inout) :: f
        character(*), intent(in) :: options
        integer, intent(out), optional :: status
        type(c_ptr), allocatable, target :: argv(:)
        integer(c_int) :: argc
        type(c_ptr) :: first
        argv = command_line()
        argc = size(argv) - 1
        first = c_loc(argv)
        call give(status, c_weft_open_text(f, argc, first, options//c_null_char))
    end subroutine

    subroutine weft_open_mpi(f, comm, options, status)
        type(weft_fabric), intent(inout) :: f
        integer, intent(in) :: comm
        type(weft_open_options), intent(in), optional :: options
        integer, intent(out), optional :: status
        call give(status, c_weft_open_mpi_f(f, int(comm, c_int), options))
    end subroutine

    function weft_nn_sequential(f, modules) result(r)
        type(weft_fabric), intent(in) :: f
        type(weft_module), intent(in) :: modules(:)
        type(weft_module) :: r
        r = weft_nn_sequential_n(f, modules)
    end function

    ! Extents backwards, from an array's shape.
    pure function backwards(shape) result(r)
        integer(c_int64_t), intent(in) :: shape(:)
        integer(c_int64_t) :: r(size(shape))
        r = shape(size(shape):1:-1)
    end function
    pure function weft_associated_fabric(handle) result(r)
        type(weft_fabric), intent(in) :: handle
        logical :: r
        r = c_associated(handle%p)
    end function

    pure function weft_associated_tensor(handle) result(r)
        type(weft_tensor), intent(in) :: handle
        logical :: r
        r = c_associated(handle%p)
    end function

    pure function weft_associated_module(handle) result(r)
        type(weft_module), intent(in) :: handle
        logical :: r
        r = c_associated(handle%p)
    end function

    pure function weft_associated_optimizer(handle) result(r)
        type(weft_optimizer), intent(in) :: handle
        logical :: r
        r = c_associated(handle%p)
    end function

    pure function weft_associated_loader(handle) result(r)
        type(weft_loader), intent(in) :: handle
        logical :: r
        r = c_associated(handle%p)
    end function

    pure function weft_associated_logger(handle) result(r)
        type(weft_logger), intent(in) :: handle
        logical :: r
        r = c_associated(handle%p)
    end function

    pure function weft_associated_metric(handle) result(r)
        type(weft_metric), intent(in) :: handle
        logical :: r
        r = c_associated(handle%p)
    end function

    ! Bytes of n elements; nothing that fits if the tensor has another type.
    function bytes_of(t, dtype, n) result(r)
        type(weft_tensor), intent(in) :: t
        integer(c_int), intent(in) :: dtype
        integer(c_size_t), intent(in) :: n
        integer(c_size_t) :: r
        r = n*weft_dtype_size(dtype)
        if (weft_dtype_of(t) /= dtype) r = huge(r)
    end function

    function weft_wrap_f32(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_float), intent(inout), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_wrap(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_F32)
    end function

    function weft_tensor_of_f32(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_float), intent(in), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_tensor_of(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_F32)
    end function

    subroutine weft_copy_in_f32(t, a, status)
        type(weft_tensor), intent(in) :: t
        real(c_float), intent(in), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_in(t, c_loc(a), bytes_of(t, WEFT_F32, size(a, kind=c_size_t))))
    end subroutine

    subroutine weft_copy_out_f32(t, a, status)
        type(weft_tensor), intent(in) :: t
        real(c_float), intent(inout), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_out(t, c_loc(a), bytes_of(t, WEFT_F32, size(a, kind=c_size_t))))
    end subroutine

    function weft_wrap_f64(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(inout), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_wrap(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_F64)
    end function

    function weft_tensor_of_f64(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(in), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_tensor_of(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_F64)
    end function

    subroutine weft_copy_in_f64(t, a, status)
        type(weft_tensor), intent(in) :: t
        real(c_double), intent(in), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_in(t, c_loc(a), bytes_of(t, WEFT_F64, size(a, kind=c_size_t))))
    end subroutine

    subroutine weft_copy_out_f64(t, a, status)
        type(weft_tensor), intent(in) :: t
        real(c_double), intent(inout), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_out(t, c_loc(a), bytes_of(t, WEFT_F64, size(a, kind=c_size_t))))
    end subroutine

    function weft_wrap_i32(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(inout), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_wrap(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_I32)
    end function

    function weft_tensor_of_i32(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_tensor_of(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_I32)
    end function

    subroutine weft_copy_in_i32(t, a, status)
        type(weft_tensor), intent(in) :: t
        integer(c_int32_t), intent(in), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_in(t, c_loc(a), bytes_of(t, WEFT_I32, size(a, kind=c_size_t))))
    end subroutine

    subroutine weft_copy_out_i32(t, a, status)
        type(weft_tensor), intent(in) :: t
        integer(c_int32_t), intent(inout), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_out(t, c_loc(a), bytes_of(t, WEFT_I32, size(a, kind=c_size_t))))
    end subroutine

    function weft_wrap_i64(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(inout), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_wrap(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_I64)
    end function

    function weft_tensor_of_i64(f, a) result(r)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in), target, contiguous :: a(..)
        type(weft_tensor) :: r
        r = c_weft_tensor_of(f, c_loc(a), rank(a), backwards(shape(a, c_int64_t)), WEFT_I64)
    end function

    subroutine weft_copy_in_i64(t, a, status)
        type(weft_tensor), intent(in) :: t
        integer(c_int64_t), intent(in), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_in(t, c_loc(a), bytes_of(t, WEFT_I64, size(a, kind=c_size_t))))
    end subroutine

    subroutine weft_copy_out_i64(t, a, status)
        type(weft_tensor), intent(in) :: t
        integer(c_int64_t), intent(inout), target, contiguous :: a(..)
        integer, intent(out), optional :: status
        call give(status, c_weft_copy_out(t, c_loc(a), bytes_of(t, WEFT_I64, size(a, kind=c_size_t))))
    end subroutine

    function weft_loader_arrays_f32(f, x, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_float), intent(in), target, contiguous :: x(..)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F32, c_null_ptr, WEFT_I64, options)
    end function

    function weft_loader_arrays_f32_f32(f, x, y, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_float), intent(in), target, contiguous :: x(..)
        real(c_float), intent(in), target, contiguous :: y(:)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        if (size(y, kind=c_int64_t) /= extent(1)) then
            call weft_fail_text(f, WEFT_ESHAPE, "weft_loader_arrays: x and y have different numbers of rows")
            return
        end if
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F32, c_loc(y), WEFT_F32, options)
    end function

    function weft_loader_arrays_f32_f64(f, x, y, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_float), intent(in), target, contiguous :: x(..)
        real(c_double), intent(in), target, contiguous :: y(:)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        if (size(y, kind=c_int64_t) /= extent(1)) then
            call weft_fail_text(f, WEFT_ESHAPE, "weft_loader_arrays: x and y have different numbers of rows")
            return
        end if
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F32, c_loc(y), WEFT_F64, options)
    end function

    function weft_loader_arrays_f32_i32(f, x, y, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_float), intent(in), target, contiguous :: x(..)
        integer(c_int32_t), intent(in), target, contiguous :: y(:)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        if (size(y, kind=c_int64_t) /= extent(1)) then
            call weft_fail_text(f, WEFT_ESHAPE, "weft_loader_arrays: x and y have different numbers of rows")
            return
        end if
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F32, c_loc(y), WEFT_I32, options)
    end function

    function weft_loader_arrays_f32_i64(f, x, y, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_float), intent(in), target, contiguous :: x(..)
        integer(c_int64_t), intent(in), target, contiguous :: y(:)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        if (size(y, kind=c_int64_t) /= extent(1)) then
            call weft_fail_text(f, WEFT_ESHAPE, "weft_loader_arrays: x and y have different numbers of rows")
            return
        end if
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F32, c_loc(y), WEFT_I64, options)
    end function

    function weft_loader_arrays_f64(f, x, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(in), target, contiguous :: x(..)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F64, c_null_ptr, WEFT_I64, options)
    end function

    function weft_loader_arrays_f64_f32(f, x, y, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(in), target, contiguous :: x(..)
        real(c_float), intent(in), target, contiguous :: y(:)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        if (size(y, kind=c_int64_t) /= extent(1)) then
            call weft_fail_text(f, WEFT_ESHAPE, "weft_loader_arrays: x and y have different numbers of rows")
            return
        end if
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F64, c_loc(y), WEFT_F32, options)
    end function

    function weft_loader_arrays_f64_f64(f, x, y, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(in), target, contiguous :: x(..)
        real(c_double), intent(in), target, contiguous :: y(:)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        if (size(y, kind=c_int64_t) /= extent(1)) then
            call weft_fail_text(f, WEFT_ESHAPE, "weft_loader_arrays: x and y have different numbers of rows")
            return
        end if
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F64, c_loc(y), WEFT_F64, options)
    end function

    function weft_loader_arrays_f64_i32(f, x, y, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(in), target, contiguous :: x(..)
        integer(c_int32_t), intent(in), target, contiguous :: y(:)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        if (size(y, kind=c_int64_t) /= extent(1)) then
            call weft_fail_text(f, WEFT_ESHAPE, "weft_loader_arrays: x and y have different numbers of rows")
            return
        end if
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F64, c_loc(y), WEFT_I32, options)
    end function

    function weft_loader_arrays_f64_i64(f, x, y, options) result(r)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(in), target, contiguous :: x(..)
        integer(c_int64_t), intent(in), target, contiguous :: y(:)
        type(weft_loader_options), intent(in), optional :: options
        type(weft_loader) :: r
        integer(c_int64_t) :: extent(rank(x))
        extent = backwards(shape(x, c_int64_t))
        if (size(y, kind=c_int64_t) /= extent(1)) then
            call weft_fail_text(f, WEFT_ESHAPE, "weft_loader_arrays: x and y have different numbers of rows")
            return
        end if
        r = c_weft_loader_arrays(f, extent(1), c_loc(x), rank(x) - 1, extent(2:), WEFT_F64, c_loc(y), WEFT_I64, options)
    end function

    subroutine weft_backward(f, loss, status)
        type(weft_fabric), intent(in) :: f
        type(weft_tensor), intent(in) :: loss
        integer, intent(out), optional :: status
        call give(status, c_weft_backward(f, loss))
    end subroutine

    subroutine weft_accumulate_i64(f, n, status)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        integer, intent(out), optional :: status
        call give(status, c_weft_accumulate(f, n))
    end subroutine

    subroutine weft_accumulate_i32(f, n, status)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        integer, intent(out), optional :: status
        call give(status, c_weft_accumulate(f, int(n, c_int64_t)))
    end subroutine

    function weft_is_accumulating(f) result(returned)
        type(weft_fabric), intent(in) :: f
        logical :: returned
        returned = c_weft_is_accumulating(f)
    end function

    subroutine weft_no_backward_sync_begin(m, enabled, status)
        type(weft_module), intent(in) :: m
        logical, intent(in) :: enabled
        integer, intent(out), optional :: status
        call give(status, c_weft_no_backward_sync_begin(m, logical(enabled, c_bool)))
    end subroutine

    subroutine weft_no_backward_sync_end(m, status)
        type(weft_module), intent(in) :: m
        integer, intent(out), optional :: status
        call give(status, c_weft_no_backward_sync_end(m))
    end subroutine

    subroutine weft_unscale(o, status)
        type(weft_optimizer), intent(in) :: o
        integer, intent(out), optional :: status
        call give(status, c_weft_unscale(o))
    end subroutine

    subroutine weft_gradcheck(f, fn, user, x, eps, tolerance, worst, status)
        type(weft_fabric), intent(in) :: f
        type(c_funptr), intent(in) :: fn
        type(c_ptr), intent(in) :: user
        type(weft_tensor), intent(in) :: x(:)
        real(c_double), intent(in) :: eps
        real(c_double), intent(in) :: tolerance
        real(c_double), intent(inout) :: worst
        integer, intent(out), optional :: status
        call give(status, c_weft_gradcheck(f, fn, user, size(x, kind=c_int), x, eps, tolerance, worst))
    end subroutine

    function weft_dtype_size(t) result(returned)
        integer, intent(in) :: t
        integer(c_size_t) :: returned
        returned = c_weft_dtype_size(t)
    end function

    function weft_dtype_name(t) result(returned)
        integer, intent(in) :: t
        character(:), allocatable :: returned
        returned = text_of(c_weft_dtype_name(t))
    end function

    subroutine weft_save(f, dir, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: dir
        integer, intent(out), optional :: status
        call give(status, c_weft_save(f, dir//c_null_char))
    end subroutine

    subroutine weft_save_async(f, dir, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: dir
        integer, intent(out), optional :: status
        call give(status, c_weft_save_async(f, dir//c_null_char))
    end subroutine

    subroutine weft_resume(f, dir, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: dir
        integer, intent(out), optional :: status
        call give(status, c_weft_resume(f, dir//c_null_char))
    end subroutine

    subroutine weft_load(f, checkpoint, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: checkpoint
        integer, intent(out), optional :: status
        call give(status, c_weft_load(f, checkpoint//c_null_char))
    end subroutine

    subroutine weft_load_raw(f, checkpoint, m, o, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: checkpoint
        type(weft_module), intent(in) :: m
        type(weft_load_raw_options), intent(in), optional :: o
        integer, intent(out), optional :: status
        call give(status, c_weft_load_raw(f, checkpoint//c_null_char, m, o))
    end subroutine

    subroutine weft_track_f64(f, name, values, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: name
        real(c_double), intent(inout), target, contiguous :: values(:)
        integer, intent(out), optional :: status
        call give(status, c_weft_track_f64(f, name//c_null_char, values, size(values, kind=c_int64_t)))
    end subroutine

    subroutine weft_track_i64(f, name, values, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: name
        integer(c_int64_t), intent(inout), target, contiguous :: values(:)
        integer, intent(out), optional :: status
        call give(status, c_weft_track_i64(f, name//c_null_char, values, size(values, kind=c_int64_t)))
    end subroutine

    function weft_all_reduce(f, x, op) result(returned)
        type(weft_fabric), intent(in) :: f
        type(weft_tensor), intent(in) :: x
        character(*), intent(in) :: op
        type(weft_tensor) :: returned
        returned = c_weft_all_reduce(f, x, op//c_null_char)
    end function

    subroutine weft_broadcast_bytes_i64(f, data, bytes, src, status)
        type(weft_fabric), intent(in) :: f
        type(c_ptr), intent(in) :: data
        integer(c_size_t), intent(in) :: bytes
        integer(c_int), intent(in) :: src
        integer, intent(out), optional :: status
        call give(status, c_weft_broadcast_bytes(f, data, bytes, src))
    end subroutine

    subroutine weft_broadcast_bytes_i32(f, data, bytes, src, status)
        type(weft_fabric), intent(in) :: f
        type(c_ptr), intent(in) :: data
        integer(c_int32_t), intent(in) :: bytes
        integer(c_int), intent(in) :: src
        integer, intent(out), optional :: status
        call give(status, c_weft_broadcast_bytes(f, data, int(bytes, c_size_t), src))
    end subroutine

    subroutine weft_broadcast_text_i64(f, text, capacity, src, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: text
        integer(c_size_t), intent(in) :: capacity
        integer(c_int), intent(in) :: src
        integer, intent(out), optional :: status
        call give(status, c_weft_broadcast_text(f, text//c_null_char, capacity, src))
    end subroutine

    subroutine weft_broadcast_text_i32(f, text, capacity, src, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: text
        integer(c_int32_t), intent(in) :: capacity
        integer(c_int), intent(in) :: src
        integer, intent(out), optional :: status
        call give(status, c_weft_broadcast_text(f, text//c_null_char, int(capacity, c_size_t), src))
    end subroutine

    function weft_reduce_boolean_decision(f, decision, all) result(returned)
        type(weft_fabric), intent(in) :: f
        logical, intent(in) :: decision
        logical, intent(in) :: all
        logical :: returned
        returned = c_weft_reduce_boolean_decision(f, logical(decision, c_bool), logical(all, c_bool))
    end function

    subroutine weft_sum_over_ranks(f, values, status)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(inout), target, contiguous :: values(:)
        integer, intent(out), optional :: status
        call give(status, c_weft_sum_over_ranks(f, values, size(values, kind=c_int64_t)))
    end subroutine

    subroutine weft_barrier(f, status)
        type(weft_fabric), intent(in) :: f
        integer, intent(out), optional :: status
        call give(status, c_weft_barrier(f))
    end subroutine

    subroutine weft_barrier_named(f, name, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: name
        integer, intent(out), optional :: status
        call give(status, c_weft_barrier_named(f, name//c_null_char))
    end subroutine

    subroutine weft_rank_zero_first_begin(f, local, status)
        type(weft_fabric), intent(in) :: f
        logical, intent(in) :: local
        integer, intent(out), optional :: status
        call give(status, c_weft_rank_zero_first_begin(f, logical(local, c_bool)))
    end subroutine

    subroutine weft_rank_zero_first_end(f, status)
        type(weft_fabric), intent(in) :: f
        integer, intent(out), optional :: status
        call give(status, c_weft_rank_zero_first_end(f))
    end subroutine

    function weft_adaptive_avg_pool2d_i64(x, height, width) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int64_t), intent(in) :: height
        integer(c_int64_t), intent(in) :: width
        type(weft_tensor) :: returned
        returned = c_weft_adaptive_avg_pool2d(x, height, width)
    end function

    function weft_adaptive_avg_pool2d_i32(x, height, width) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int32_t), intent(in) :: height
        integer(c_int32_t), intent(in) :: width
        type(weft_tensor) :: returned
        returned = c_weft_adaptive_avg_pool2d(x, int(height, c_int64_t), int(width, c_int64_t))
    end function

    function weft_nn_conv2d_i64(f, in, out, kernel, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: in
        integer(c_int64_t), intent(in) :: out
        integer(c_int64_t), intent(in) :: kernel
        type(weft_conv_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_conv2d(f, in, out, kernel, o)
    end function

    function weft_nn_conv2d_i32(f, in, out, kernel, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: in
        integer(c_int32_t), intent(in) :: out
        integer(c_int32_t), intent(in) :: kernel
        type(weft_conv_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_conv2d(f, int(in, c_int64_t), int(out, c_int64_t), int(kernel, c_int64_t), o)
    end function

    function weft_nn_adaptive_avg_pool2d_i64(f, height, width) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: height
        integer(c_int64_t), intent(in) :: width
        type(weft_module) :: returned
        returned = c_weft_nn_adaptive_avg_pool2d(f, height, width)
    end function

    function weft_nn_adaptive_avg_pool2d_i32(f, height, width) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: height
        integer(c_int32_t), intent(in) :: width
        type(weft_module) :: returned
        returned = c_weft_nn_adaptive_avg_pool2d(f, int(height, c_int64_t), int(width, c_int64_t))
    end function

    function weft_batch_field(b, name) result(returned)
        type(weft_batch), intent(in), optional :: b
        character(*), intent(in) :: name
        type(weft_tensor) :: returned
        returned = c_weft_batch_field(b, name//c_null_char)
    end function

    function weft_rows_uniform_i64(r, i, k) result(returned)
        type(weft_rows), intent(in), optional :: r
        integer(c_int64_t), intent(in) :: i
        integer(c_int64_t), intent(in) :: k
        real(c_double) :: returned
        returned = c_weft_rows_uniform(r, i, k)
    end function

    function weft_rows_uniform_i32(r, i, k) result(returned)
        type(weft_rows), intent(in), optional :: r
        integer(c_int32_t), intent(in) :: i
        integer(c_int32_t), intent(in) :: k
        real(c_double) :: returned
        returned = c_weft_rows_uniform(r, int(i, c_int64_t), int(k, c_int64_t))
    end function

    function weft_loader_hdf5(f, path, o) result(returned)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: path
        type(weft_loader_options), intent(in), optional :: o
        type(weft_loader) :: returned
        returned = c_weft_loader_hdf5(f, path//c_null_char, o)
    end function

    function weft_loader_fields_i64(f, rows, fields, array, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: rows
        integer(c_int), intent(in) :: fields
        type(weft_array), intent(in), optional :: array
        type(weft_loader_options), intent(in), optional :: o
        type(weft_loader) :: returned
        returned = c_weft_loader_fields(f, rows, fields, array, o)
    end function

    function weft_loader_fields_i32(f, rows, fields, array, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: rows
        integer(c_int), intent(in) :: fields
        type(weft_array), intent(in), optional :: array
        type(weft_loader_options), intent(in), optional :: o
        type(weft_loader) :: returned
        returned = c_weft_loader_fields(f, int(rows, c_int64_t), fields, array, o)
    end function

    function weft_loader_idx(f, x, y, o) result(returned)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: x
        character(*), intent(in) :: y
        type(weft_loader_options), intent(in), optional :: o
        type(weft_loader) :: returned
        returned = c_weft_loader_idx(f, x//c_null_char, y//c_null_char, o)
    end function

    function weft_loader_tokens(f, path, t, o) result(returned)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: path
        type(weft_token_options), intent(in), optional :: t
        type(weft_loader_options), intent(in), optional :: o
        type(weft_loader) :: returned
        returned = c_weft_loader_tokens(f, path//c_null_char, t, o)
    end function

    function weft_next(l, b) result(returned)
        type(weft_loader), intent(in) :: l
        type(weft_batch), intent(inout) :: b
        logical :: returned
        returned = c_weft_next(l, b)
    end function

    subroutine weft_rewind(l, status)
        type(weft_loader), intent(in) :: l
        integer, intent(out), optional :: status
        call give(status, c_weft_rewind(l))
    end subroutine

    function weft_batch_of_i64(f, x, y, base, global_rows) result(returned)
        type(weft_fabric), intent(in) :: f
        type(weft_tensor), intent(in) :: x
        type(weft_tensor), intent(in) :: y
        integer(c_int64_t), intent(in) :: base
        integer(c_int64_t), intent(in) :: global_rows
        type(weft_batch) :: returned
        returned = c_weft_batch_of(f, x, y, base, global_rows)
    end function

    function weft_batch_of_i32(f, x, y, base, global_rows) result(returned)
        type(weft_fabric), intent(in) :: f
        type(weft_tensor), intent(in) :: x
        type(weft_tensor), intent(in) :: y
        integer(c_int32_t), intent(in) :: base
        integer(c_int32_t), intent(in) :: global_rows
        type(weft_batch) :: returned
        returned = c_weft_batch_of(f, x, y, int(base, c_int64_t), int(global_rows, c_int64_t))
    end function

    function weft_join(f, more) result(returned)
        type(weft_fabric), intent(in) :: f
        logical, intent(in) :: more
        logical :: returned
        returned = c_weft_join(f, logical(more, c_bool))
    end function

    subroutine weft_setup(f, m, o, status)
        type(weft_fabric), intent(in) :: f
        type(weft_module), intent(in) :: m
        type(weft_optimizer), intent(in) :: o
        integer, intent(out), optional :: status
        call give(status, c_weft_setup(f, m, o))
    end subroutine

    subroutine weft_setup_module(f, m, status)
        type(weft_fabric), intent(in) :: f
        type(weft_module), intent(in) :: m
        integer, intent(out), optional :: status
        call give(status, c_weft_setup_module(f, m))
    end subroutine

    subroutine weft_setup_optimizer(f, o, status)
        type(weft_fabric), intent(in) :: f
        type(weft_optimizer), intent(in) :: o
        integer, intent(out), optional :: status
        call give(status, c_weft_setup_optimizer(f, o))
    end subroutine

    subroutine weft_setup_loader(f, l, status)
        type(weft_fabric), intent(in) :: f
        type(weft_loader), intent(in) :: l
        integer, intent(out), optional :: status
        call give(status, c_weft_setup_loader(f, l))
    end subroutine

    subroutine weft_step_end(f, status)
        type(weft_fabric), intent(in) :: f
        integer, intent(out), optional :: status
        call give(status, c_weft_step_end(f))
    end subroutine

    function weft_every_i64(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        logical :: returned
        returned = c_weft_every(f, n)
    end function

    function weft_every_i32(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        logical :: returned
        returned = c_weft_every(f, int(n, c_int64_t))
    end function

    function weft_is_global_zero(f) result(returned)
        type(weft_fabric), intent(in) :: f
        logical :: returned
        returned = c_weft_is_global_zero(f)
    end function

    function weft_accelerator_name(f) result(returned)
        type(weft_fabric), intent(in) :: f
        character(:), allocatable :: returned
        returned = text_of(c_weft_accelerator_name(f))
    end function

    function weft_strategy_name(f) result(returned)
        type(weft_fabric), intent(in) :: f
        character(:), allocatable :: returned
        returned = text_of(c_weft_strategy_name(f))
    end function

    function weft_precision_name(f) result(returned)
        type(weft_fabric), intent(in) :: f
        character(:), allocatable :: returned
        returned = text_of(c_weft_precision_name(f))
    end function

    function weft_process_group_backend(f) result(returned)
        type(weft_fabric), intent(in) :: f
        character(:), allocatable :: returned
        returned = text_of(c_weft_process_group_backend(f))
    end function

    function weft_device_name(f) result(returned)
        type(weft_fabric), intent(in) :: f
        character(:), allocatable :: returned
        returned = text_of(c_weft_device_name(f))
    end function

    function weft_kernel_set(f) result(returned)
        type(weft_fabric), intent(in) :: f
        character(:), allocatable :: returned
        returned = text_of(c_weft_kernel_set(f))
    end function

    function weft_hostname(f) result(returned)
        type(weft_fabric), intent(in) :: f
        character(:), allocatable :: returned
        returned = text_of(c_weft_hostname(f))
    end function

    subroutine weft_seed_everything_i64(f, seed, status)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: seed
        integer, intent(out), optional :: status
        call give(status, c_weft_seed_everything(f, seed))
    end subroutine

    subroutine weft_seed_everything_i32(f, seed, status)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: seed
        integer, intent(out), optional :: status
        call give(status, c_weft_seed_everything(f, int(seed, c_int64_t)))
    end subroutine

    subroutine weft_log_level(level)
        integer, intent(in) :: level
        call c_weft_log_level(level)
    end subroutine

    subroutine weft_log(f, name, value, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: name
        type(weft_tensor), intent(in) :: value
        integer, intent(out), optional :: status
        call give(status, c_weft_log(f, name//c_null_char, value))
    end subroutine

    subroutine weft_log_dict_n_i64(f, n, metrics, status)
        type(weft_fabric), intent(in) :: f
        integer(c_size_t), intent(in) :: n
        type(weft_named), intent(in), optional :: metrics
        integer, intent(out), optional :: status
        call give(status, c_weft_log_dict_n(f, n, metrics))
    end subroutine

    subroutine weft_log_dict_n_i32(f, n, metrics, status)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        type(weft_named), intent(in), optional :: metrics
        integer, intent(out), optional :: status
        call give(status, c_weft_log_dict_n(f, int(n, c_size_t), metrics))
    end subroutine

    subroutine weft_log_value(f, name, value, status)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: name
        real(c_double), intent(in) :: value
        integer, intent(out), optional :: status
        call give(status, c_weft_log_value(f, name//c_null_char, value))
    end subroutine

    subroutine weft_log_timing(f, status)
        type(weft_fabric), intent(in) :: f
        integer, intent(out), optional :: status
        call give(status, c_weft_log_timing(f))
    end subroutine

    function weft_logger_csv(f, path) result(returned)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: path
        type(weft_logger) :: returned
        returned = c_weft_logger_csv(f, path//c_null_char)
    end function

    function weft_logger_jsonl(f, path) result(returned)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: path
        type(weft_logger) :: returned
        returned = c_weft_logger_jsonl(f, path//c_null_char)
    end function

    function weft_memory_name(kind) result(returned)
        integer, intent(in) :: kind
        character(:), allocatable :: returned
        returned = text_of(c_weft_memory_name(kind))
    end function

    function weft_metric_confusion_i64(f, classes) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: classes
        type(weft_metric) :: returned
        returned = c_weft_metric_confusion(f, classes)
    end function

    function weft_metric_confusion_i32(f, classes) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: classes
        type(weft_metric) :: returned
        returned = c_weft_metric_confusion(f, int(classes, c_int64_t))
    end function

    subroutine weft_metric_update(m, x, y, status)
        type(weft_metric), intent(in) :: m
        type(weft_tensor), intent(in) :: x
        type(weft_tensor), intent(in) :: y
        integer, intent(out), optional :: status
        call give(status, c_weft_metric_update(m, x, y))
    end subroutine

    subroutine weft_metric_counts(f, m, out, status)
        type(weft_fabric), intent(in) :: f
        type(weft_metric), intent(in) :: m
        integer(c_int64_t), intent(inout), target, contiguous :: out(:)
        integer, intent(out), optional :: status
        call give(status, c_weft_metric_counts(f, m, out, size(out, kind=c_int64_t)))
    end subroutine

    subroutine weft_metric_reset(m, status)
        type(weft_metric), intent(in) :: m
        integer, intent(out), optional :: status
        call give(status, c_weft_metric_reset(m))
    end subroutine

    function weft_nn_linear_i64(f, in, out) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: in
        integer(c_int64_t), intent(in) :: out
        type(weft_module) :: returned
        returned = c_weft_nn_linear(f, in, out)
    end function

    function weft_nn_linear_i32(f, in, out) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: in
        integer(c_int32_t), intent(in) :: out
        type(weft_module) :: returned
        returned = c_weft_nn_linear(f, int(in, c_int64_t), int(out, c_int64_t))
    end function

    function weft_nn_linear_nobias_i64(f, in, out) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: in
        integer(c_int64_t), intent(in) :: out
        type(weft_module) :: returned
        returned = c_weft_nn_linear_nobias(f, in, out)
    end function

    function weft_nn_linear_nobias_i32(f, in, out) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: in
        integer(c_int32_t), intent(in) :: out
        type(weft_module) :: returned
        returned = c_weft_nn_linear_nobias(f, int(in, c_int64_t), int(out, c_int64_t))
    end function

    function weft_nn_layernorm_i64(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_layernorm(f, n)
    end function

    function weft_nn_layernorm_i32(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_layernorm(f, int(n, c_int64_t))
    end function

    function weft_nn_layernorm_with_i64(f, shape, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: shape(:)
        type(weft_layernorm_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_layernorm_with(f, size(shape, kind=c_int), shape, o)
    end function

    function weft_nn_layernorm_with_i32(f, shape, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: shape(:)
        type(weft_layernorm_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_layernorm_with(f, size(shape, kind=c_int), int(shape, c_int64_t), o)
    end function

    function weft_nn_rmsnorm_i64(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_rmsnorm(f, n)
    end function

    function weft_nn_rmsnorm_i32(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_rmsnorm(f, int(n, c_int64_t))
    end function

    function weft_nn_rmsnorm_with_i64(f, shape, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: shape(:)
        type(weft_rmsnorm_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_rmsnorm_with(f, size(shape, kind=c_int), shape, o)
    end function

    function weft_nn_rmsnorm_with_i32(f, shape, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: shape(:)
        type(weft_rmsnorm_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_rmsnorm_with(f, size(shape, kind=c_int), int(shape, c_int64_t), o)
    end function

    function weft_nn_swiglu_i64(f, in, hidden, out) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: in
        integer(c_int64_t), intent(in) :: hidden
        integer(c_int64_t), intent(in) :: out
        type(weft_module) :: returned
        returned = c_weft_nn_swiglu(f, in, hidden, out)
    end function

    function weft_nn_swiglu_i32(f, in, hidden, out) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: in
        integer(c_int32_t), intent(in) :: hidden
        integer(c_int32_t), intent(in) :: out
        type(weft_module) :: returned
        returned = c_weft_nn_swiglu(f, int(in, c_int64_t), int(hidden, c_int64_t), int(out, c_int64_t))
    end function

    function weft_nn_batchnorm_i64(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_batchnorm(f, n)
    end function

    function weft_nn_batchnorm_i32(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_batchnorm(f, int(n, c_int64_t))
    end function

    function weft_nn_batchnorm_with_i64(f, n, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        type(weft_batchnorm_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_batchnorm_with(f, n, o)
    end function

    function weft_nn_batchnorm_with_i32(f, n, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        type(weft_batchnorm_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_batchnorm_with(f, int(n, c_int64_t), o)
    end function

    subroutine weft_nn_sync_batchnorm(m, status)
        type(weft_module), intent(in) :: m
        integer, intent(out), optional :: status
        call give(status, c_weft_nn_sync_batchnorm(m))
    end subroutine

    function weft_nn_groupnorm_i64(f, groups, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: groups
        integer(c_int64_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_groupnorm(f, groups, n)
    end function

    function weft_nn_groupnorm_i32(f, groups, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: groups
        integer(c_int32_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_groupnorm(f, int(groups, c_int64_t), int(n, c_int64_t))
    end function

    function weft_nn_groupnorm_with_i64(f, groups, n, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: groups
        integer(c_int64_t), intent(in) :: n
        type(weft_groupnorm_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_groupnorm_with(f, groups, n, o)
    end function

    function weft_nn_groupnorm_with_i32(f, groups, n, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: groups
        integer(c_int32_t), intent(in) :: n
        type(weft_groupnorm_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_groupnorm_with(f, int(groups, c_int64_t), int(n, c_int64_t), o)
    end function

    function weft_nn_instancenorm_i64(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_instancenorm(f, n)
    end function

    function weft_nn_instancenorm_i32(f, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_instancenorm(f, int(n, c_int64_t))
    end function

    function weft_nn_embedding_i64(f, n, dim) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        integer(c_int64_t), intent(in) :: dim
        type(weft_module) :: returned
        returned = c_weft_nn_embedding(f, n, dim)
    end function

    function weft_nn_embedding_i32(f, n, dim) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        integer(c_int32_t), intent(in) :: dim
        type(weft_module) :: returned
        returned = c_weft_nn_embedding(f, int(n, c_int64_t), int(dim, c_int64_t))
    end function

    function weft_nn_embedding_padded_i64(f, n, dim, padding_idx) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        integer(c_int64_t), intent(in) :: dim
        integer(c_int64_t), intent(in) :: padding_idx
        type(weft_module) :: returned
        returned = c_weft_nn_embedding_padded(f, n, dim, padding_idx)
    end function

    function weft_nn_embedding_padded_i32(f, n, dim, padding_idx) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        integer(c_int32_t), intent(in) :: dim
        integer(c_int32_t), intent(in) :: padding_idx
        type(weft_module) :: returned
        returned = c_weft_nn_embedding_padded(f, int(n, c_int64_t), int(dim, c_int64_t), int(padding_idx, c_int64_t))
    end function

    function weft_nn_positions_i64(f, most, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: most
        integer(c_int64_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_positions(f, most, n)
    end function

    function weft_nn_positions_i32(f, most, n) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: most
        integer(c_int32_t), intent(in) :: n
        type(weft_module) :: returned
        returned = c_weft_nn_positions(f, int(most, c_int64_t), int(n, c_int64_t))
    end function

    function weft_nn_attention_i64(f, n, heads, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: n
        integer(c_int64_t), intent(in) :: heads
        type(weft_nn_attention_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_attention(f, n, heads, o)
    end function

    function weft_nn_attention_i32(f, n, heads, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: n
        integer(c_int32_t), intent(in) :: heads
        type(weft_nn_attention_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_attention(f, int(n, c_int64_t), int(heads, c_int64_t), o)
    end function

    function weft_nn_activation(f, name) result(returned)
        type(weft_fabric), intent(in) :: f
        character(*), intent(in) :: name
        type(weft_module) :: returned
        returned = c_weft_nn_activation(f, name//c_null_char)
    end function

    function weft_nn_mlp_i64(f, sizes, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int64_t), intent(in) :: sizes(:)
        type(weft_mlp_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_mlp(f, size(sizes, kind=c_int), sizes, o)
    end function

    function weft_nn_mlp_i32(f, sizes, o) result(returned)
        type(weft_fabric), intent(in) :: f
        integer(c_int32_t), intent(in) :: sizes(:)
        type(weft_mlp_options), intent(in), optional :: o
        type(weft_module) :: returned
        returned = c_weft_nn_mlp(f, size(sizes, kind=c_int), int(sizes, c_int64_t), o)
    end function

    function weft_nn_sequential_n(f, modules) result(returned)
        type(weft_fabric), intent(in) :: f
        type(weft_module), intent(in) :: modules(:)
        type(weft_module) :: returned
        returned = c_weft_nn_sequential_n(f, size(modules, kind=c_size_t), modules)
    end function

    subroutine weft_infer_i64(m, x, shape, xtype, y, numel, ytype, status)
        type(weft_module), intent(in) :: m
        type(c_ptr), intent(in) :: x
        integer(c_int64_t), intent(in) :: shape(:)
        integer, intent(in) :: xtype
        type(c_ptr), intent(in) :: y
        integer(c_int64_t), intent(in) :: numel
        integer, intent(in) :: ytype
        integer, intent(out), optional :: status
        call give(status, c_weft_infer(m, x, size(shape, kind=c_int), shape, xtype, y, numel, ytype))
    end subroutine

    subroutine weft_infer_i32(m, x, shape, xtype, y, numel, ytype, status)
        type(weft_module), intent(in) :: m
        type(c_ptr), intent(in) :: x
        integer(c_int32_t), intent(in) :: shape(:)
        integer, intent(in) :: xtype
        type(c_ptr), intent(in) :: y
        integer(c_int32_t), intent(in) :: numel
        integer, intent(in) :: ytype
        integer, intent(out), optional :: status
        call give(status, c_weft_infer(m, x, size(shape, kind=c_int), int(shape, c_int64_t), xtype, y, int(numel, &
                c_int64_t), ytype))
    end subroutine

    subroutine weft_train(m, training)
        type(weft_module), intent(in) :: m
        logical, intent(in) :: training
        call c_weft_train(m, logical(training, c_bool))
    end subroutine

    function weft_is_training(m) result(returned)
        type(weft_module), intent(in) :: m
        logical :: returned
        returned = c_weft_is_training(m)
    end function

    subroutine weft_recompute(m, on)
        type(weft_module), intent(in) :: m
        logical, intent(in) :: on
        call c_weft_recompute(m, logical(on, c_bool))
    end subroutine

    function weft_is_recomputing(m) result(returned)
        type(weft_module), intent(in) :: m
        logical :: returned
        returned = c_weft_is_recomputing(m)
    end function

    function weft_param_name_i64(m, i) result(returned)
        type(weft_module), intent(in) :: m
        integer(c_int64_t), intent(in) :: i
        character(:), allocatable :: returned
        returned = text_of(c_weft_param_name(m, i))
    end function

    function weft_param_name_i32(m, i) result(returned)
        type(weft_module), intent(in) :: m
        integer(c_int32_t), intent(in) :: i
        character(:), allocatable :: returned
        returned = text_of(c_weft_param_name(m, int(i, c_int64_t)))
    end function

    function weft_param(m, name) result(returned)
        type(weft_module), intent(in) :: m
        character(*), intent(in) :: name
        type(weft_tensor) :: returned
        returned = c_weft_param(m, name//c_null_char)
    end function

    function weft_buffer_name_i64(m, i) result(returned)
        type(weft_module), intent(in) :: m
        integer(c_int64_t), intent(in) :: i
        character(:), allocatable :: returned
        returned = text_of(c_weft_buffer_name(m, i))
    end function

    function weft_buffer_name_i32(m, i) result(returned)
        type(weft_module), intent(in) :: m
        integer(c_int32_t), intent(in) :: i
        character(:), allocatable :: returned
        returned = text_of(c_weft_buffer_name(m, int(i, c_int64_t)))
    end function

    function weft_buffer(m, name) result(returned)
        type(weft_module), intent(in) :: m
        character(*), intent(in) :: name
        type(weft_tensor) :: returned
        returned = c_weft_buffer(m, name//c_null_char)
    end function

    subroutine weft_freeze(m, frozen, status)
        type(weft_module), intent(in) :: m
        logical, intent(in) :: frozen
        integer, intent(out), optional :: status
        call give(status, c_weft_freeze(m, logical(frozen, c_bool)))
    end subroutine

    subroutine weft_tie(m, name, other, status)
        type(weft_module), intent(in) :: m
        character(*), intent(in) :: name
        character(*), intent(in) :: other
        integer, intent(out), optional :: status
        call give(status, c_weft_tie(m, name//c_null_char, other//c_null_char))
    end subroutine

    subroutine weft_init_param(m, name, o, status)
        type(weft_module), intent(in) :: m
        character(*), intent(in) :: name
        type(weft_initializer_options), intent(in), optional :: o
        integer, intent(out), optional :: status
        call give(status, c_weft_init_param(m, name//c_null_char, o))
    end subroutine

    function weft_module_at(m, path) result(returned)
        type(weft_module), intent(in) :: m
        character(*), intent(in) :: path
        type(weft_module) :: returned
        returned = c_weft_module_at(m, path//c_null_char)
    end function

    function weft_child_i64(m, i) result(returned)
        type(weft_module), intent(in) :: m
        integer(c_int64_t), intent(in) :: i
        type(weft_module) :: returned
        returned = c_weft_child(m, i)
    end function

    function weft_child_i32(m, i) result(returned)
        type(weft_module), intent(in) :: m
        integer(c_int32_t), intent(in) :: i
        type(weft_module) :: returned
        returned = c_weft_child(m, int(i, c_int64_t))
    end function

    function weft_module_name(m) result(returned)
        type(weft_module), intent(in) :: m
        character(:), allocatable :: returned
        returned = text_of(c_weft_module_name(m))
    end function

    function weft_module_kind(m) result(returned)
        type(weft_module), intent(in) :: m
        character(:), allocatable :: returned
        returned = text_of(c_weft_module_kind(m))
    end function

    function weft_reshape_i64(x, shape) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int64_t), intent(in) :: shape(:)
        type(weft_tensor) :: returned
        returned = c_weft_reshape(x, size(shape, kind=c_int), shape)
    end function

    function weft_reshape_i32(x, shape) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int32_t), intent(in) :: shape(:)
        type(weft_tensor) :: returned
        returned = c_weft_reshape(x, size(shape, kind=c_int), int(shape, c_int64_t))
    end function

    function weft_permute(x, dims) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int), intent(in) :: dims(:)
        type(weft_tensor) :: returned
        returned = c_weft_permute(x, size(dims, kind=c_int), dims)
    end function

    function weft_slice_i64(x, dim, start, stop, step) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int), intent(in) :: dim
        integer(c_int64_t), intent(in) :: start
        integer(c_int64_t), intent(in) :: stop
        integer(c_int64_t), intent(in) :: step
        type(weft_tensor) :: returned
        returned = c_weft_slice(x, dim, start, stop, step)
    end function

    function weft_slice_i32(x, dim, start, stop, step) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int), intent(in) :: dim
        integer(c_int32_t), intent(in) :: start
        integer(c_int32_t), intent(in) :: stop
        integer(c_int32_t), intent(in) :: step
        type(weft_tensor) :: returned
        returned = c_weft_slice(x, dim, int(start, c_int64_t), int(stop, c_int64_t), int(step, c_int64_t))
    end function

    function weft_concat_n(x, dim) result(returned)
        type(weft_tensor), intent(in) :: x(:)
        integer(c_int), intent(in) :: dim
        type(weft_tensor) :: returned
        returned = c_weft_concat_n(size(x, kind=c_size_t), x, dim)
    end function

    function weft_groupnorm_i64(x, groups, weight, bias, eps) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int64_t), intent(in) :: groups
        type(weft_tensor), intent(in) :: weight
        type(weft_tensor), intent(in) :: bias
        real(c_double), intent(in) :: eps
        type(weft_tensor) :: returned
        returned = c_weft_groupnorm(x, groups, weight, bias, eps)
    end function

    function weft_groupnorm_i32(x, groups, weight, bias, eps) result(returned)
        type(weft_tensor), intent(in) :: x
        integer(c_int32_t), intent(in) :: groups
        type(weft_tensor), intent(in) :: weight
        type(weft_tensor), intent(in) :: bias
        real(c_double), intent(in) :: eps
        type(weft_tensor) :: returned
        returned = c_weft_groupnorm(x, int(groups, c_int64_t), weight, bias, eps)
    end function

    function weft_embedding_i64(indices, weight, padding_idx) result(returned)
        type(weft_tensor), intent(in) :: indices
        type(weft_tensor), intent(in) :: weight
        integer(c_int64_t), intent(in) :: padding_idx
        type(weft_tensor) :: returned
        returned = c_weft_embedding(indices, weight, padding_idx)
    end function

    function weft_embedding_i32(indices, weight, padding_idx) result(returned)
        type(weft_tensor), intent(in) :: indices
        type(weft_tensor), intent(in) :: weight
        integer(c_int32_t), intent(in) :: padding_idx
        type(weft_tensor) :: returned
        returned = c_weft_embedding(indices, weight, int(padding_idx, c_int64_t))
    end function

    function weft_dropout(x, p, training) result(returned)
        type(weft_tensor), intent(in) :: x
        real(c_double), intent(in) :: p
        logical, intent(in) :: training
        type(weft_tensor) :: returned
        returned = c_weft_dropout(x, p, logical(training, c_bool))
    end function

    function weft_attention_packed_i64(qkv, heads, kv_heads, o) result(returned)
        type(weft_tensor), intent(in) :: qkv
        integer(c_int64_t), intent(in) :: heads
        integer(c_int64_t), intent(in) :: kv_heads
        type(weft_attention_options), intent(in), optional :: o
        type(weft_tensor) :: returned
        returned = c_weft_attention_packed(qkv, heads, kv_heads, o)
    end function

    function weft_attention_packed_i32(qkv, heads, kv_heads, o) result(returned)
        type(weft_tensor), intent(in) :: qkv
        integer(c_int32_t), intent(in) :: heads
        integer(c_int32_t), intent(in) :: kv_heads
        type(weft_attention_options), intent(in), optional :: o
        type(weft_tensor) :: returned
        returned = c_weft_attention_packed(qkv, int(heads, c_int64_t), int(kv_heads, c_int64_t), o)
    end function

    function weft_cast(x, dtype) result(returned)
        type(weft_tensor), intent(in) :: x
        integer, intent(in) :: dtype
        type(weft_tensor) :: returned
        returned = c_weft_cast(x, dtype)
    end function

    subroutine weft_group(o, pattern, g, status)
        type(weft_optimizer), intent(in) :: o
        character(*), intent(in) :: pattern
        type(weft_group_options), intent(in), optional :: g
        integer, intent(out), optional :: status
        call give(status, c_weft_group(o, pattern//c_null_char, g))
    end subroutine

    subroutine weft_group_module(o, part, g, status)
        type(weft_optimizer), intent(in) :: o
        type(weft_module), intent(in) :: part
        type(weft_group_options), intent(in), optional :: g
        integer, intent(out), optional :: status
        call give(status, c_weft_group_module(o, part, g))
    end subroutine

    subroutine weft_zero_grad(o, status)
        type(weft_optimizer), intent(in) :: o
        integer, intent(out), optional :: status
        call give(status, c_weft_zero_grad(o))
    end subroutine

    subroutine weft_step(o, status)
        type(weft_optimizer), intent(in) :: o
        integer, intent(out), optional :: status
        call give(status, c_weft_step(o))
    end subroutine

    subroutine weft_step_closure(o, closure, user, status)
        type(weft_optimizer), intent(in) :: o
        type(c_funptr), intent(in) :: closure
        type(c_ptr), intent(in) :: user
        integer, intent(out), optional :: status
        call give(status, c_weft_step_closure(o, closure, user))
    end subroutine

    subroutine weft_set_lr(o, lr, status)
        type(weft_optimizer), intent(in) :: o
        real(c_double), intent(in) :: lr
        integer, intent(out), optional :: status
        call give(status, c_weft_set_lr(o, lr))
    end subroutine

    subroutine weft_set_group_lr(o, group, lr, status)
        type(weft_optimizer), intent(in) :: o
        integer(c_int), intent(in) :: group
        real(c_double), intent(in) :: lr
        integer, intent(out), optional :: status
        call give(status, c_weft_set_group_lr(o, group, lr))
    end subroutine

    subroutine weft_set_schedule(o, s, status)
        type(weft_optimizer), intent(in) :: o
        type(weft_schedule_options), intent(in), optional :: s
        integer, intent(out), optional :: status
        call give(status, c_weft_set_schedule(o, s))
    end subroutine

    subroutine weft_schedule_metric(o, value, status)
        type(weft_optimizer), intent(in) :: o
        real(c_double), intent(in) :: value
        integer, intent(out), optional :: status
        call give(status, c_weft_schedule_metric(o, value))
    end subroutine

    function weft_strerror(code) result(returned)
        integer, intent(in) :: code
        character(:), allocatable :: returned
        returned = text_of(c_weft_strerror(code))
    end function

    function weft_status_name(code) result(returned)
        integer, intent(in) :: code
        character(:), allocatable :: returned
        returned = text_of(c_weft_status_name(code))
    end function

    function weft_message(f) result(returned)
        type(weft_fabric), intent(in) :: f
        character(:), allocatable :: returned
        returned = text_of(c_weft_message(f))
    end function

    subroutine weft_clear(f, status)
        type(weft_fabric), intent(in) :: f
        integer, intent(out), optional :: status
        call give(status, c_weft_clear(f))
    end subroutine

    subroutine weft_fail_text(f, code, message, status)
        type(weft_fabric), intent(in) :: f
        integer, intent(in) :: code
        character(*), intent(in) :: message
        integer, intent(out), optional :: status
        call give(status, c_weft_fail_text(f, code, message//c_null_char))
    end subroutine

    subroutine weft_pin_memory_i64(f, memory, bytes, status)
        type(weft_fabric), intent(in) :: f
        type(c_ptr), intent(in) :: memory
        integer(c_size_t), intent(in) :: bytes
        integer, intent(out), optional :: status
        call give(status, c_weft_pin_memory(f, memory, bytes))
    end subroutine

    subroutine weft_pin_memory_i32(f, memory, bytes, status)
        type(weft_fabric), intent(in) :: f
        type(c_ptr), intent(in) :: memory
        integer(c_int32_t), intent(in) :: bytes
        integer, intent(out), optional :: status
        call give(status, c_weft_pin_memory(f, memory, int(bytes, c_size_t)))
    end subroutine

    subroutine weft_unpin_memory(f, memory, status)
        type(weft_fabric), intent(in) :: f
        type(c_ptr), intent(in) :: memory
        integer, intent(out), optional :: status
        call give(status, c_weft_unpin_memory(f, memory))
    end subroutine

    function weft_full_i64(f, value, shape, dtype) result(returned)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(in) :: value
        integer(c_int64_t), intent(in) :: shape(:)
        integer, intent(in) :: dtype
        type(weft_tensor) :: returned
        returned = c_weft_full(f, value, size(shape, kind=c_int), shape, dtype)
    end function

    function weft_full_i32(f, value, shape, dtype) result(returned)
        type(weft_fabric), intent(in) :: f
        real(c_double), intent(in) :: value
        integer(c_int32_t), intent(in) :: shape(:)
        integer, intent(in) :: dtype
        type(weft_tensor) :: returned
        returned = c_weft_full(f, value, size(shape, kind=c_int), int(shape, c_int64_t), dtype)
    end function

    subroutine weft_require_grad(t, status)
        type(weft_tensor), intent(in) :: t
        integer, intent(out), optional :: status
        call give(status, c_weft_require_grad(t))
    end subroutine

    function weft_is_valid(t) result(returned)
        type(weft_tensor), intent(in) :: t
        logical :: returned
        returned = c_weft_is_valid(t)
    end function

    function weft_version() result(returned)
        character(:), allocatable :: returned
        returned = text_of(c_weft_version())
    end function
end module
